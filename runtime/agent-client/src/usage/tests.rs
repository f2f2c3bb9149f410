//! What a hostile guest may say of its use.

use super::*;

#[test]
fn hostile_answer_is_cut_and_made_fit_to_show() {
    let interface = wire::InterfaceUsage {
        name: "eth\u{1b}[2J".into(),
        received_bytes: u64::MAX,
        ..Default::default()
    };
    let some = wire::PressureShare {
        average_10s: f64::NAN,
        average_60s: f64::INFINITY,
        average_300s: 1.5,
        ..Default::default()
    };
    let container = wire::ContainerUsageResponse {
        container_id: "c\n".into(),
        cpu_pressure: Some(wire::Pressure {
            some: Some(some).into(),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    };
    let usage = PodUsage::from(wire::PodUsageResponse {
        interfaces: vec![interface; MAX_LISTED + 1],
        containers: vec![container],
        ..Default::default()
    });
    assert_eq!(usage.interfaces.len(), MAX_LISTED);
    assert_eq!(usage.interfaces[0].name, "eth\\u{1b}[2J");
    assert_eq!(usage.interfaces[0].received.bytes, u64::MAX);
    let container = &usage.containers[0];
    assert_eq!(container.container_id, "c\\n");
    let pressure = container.cpu_pressure.unwrap();
    assert_eq!(pressure.some.averages, [0.0, 0.0, 1.5]);
    assert_eq!(pressure.full, PressureShare::default());
    assert_eq!(container.memory_pressure, None);
}
