//! What is counted, as the page shows it.

use super::*;

fn text(figures: &Figures) -> String {
    let mut page = String::new();
    text::encode_registry(&mut page, &figures.registry).unwrap();
    page
}

fn answer(code: Option<&'static str>) -> wire::Response<()> {
    let mut response = wire::Response::new(());
    if let Some(code) = code {
        let value = wire::HeaderValue::from_static(code);
        response.headers_mut().insert("grpc-status", value);
    }
    response
}

#[test]
fn calls_are_counted_by_method_and_code() {
    let figures = Figures::new();
    let took = Duration::from_millis(20);
    let status = "/runtime.v1.RuntimeService/PodSandboxStatus";
    figures.called(status, &answer(None), took);
    figures.called(status, &answer(Some("0")), took);
    figures.called(status, &answer(Some("5")), took);
    let page = text(&figures);
    for line in [
        r#"cofferdam_rpc_duration_seconds_count{method="PodSandboxStatus",code="Ok"} 2"#,
        r#"cofferdam_rpc_duration_seconds_count{method="PodSandboxStatus",code="NotFound"} 1"#,
        r#"cofferdam_rpc_duration_seconds_bucket{le="0.01",method="PodSandboxStatus",code="Ok"} 0"#,
        r#"cofferdam_rpc_duration_seconds_bucket{le="0.025",method="PodSandboxStatus",code="Ok"} 2"#,
    ] {
        assert!(page.lines().any(|is| is == line), "{line} in {page}");
    }
}

#[test]
fn calls_of_what_is_not_served_make_one_series_whatever_they_are_called() {
    let figures = Figures::new();
    for name in 0..100 {
        let path = format!("/any.Service/Method{name}");
        figures.called(&path, &answer(Some("12")), Duration::ZERO);
    }
    let page = text(&figures);
    let counts = page.lines().filter(|line| line.contains("_count{"));
    let expect = r#"cofferdam_rpc_duration_seconds_count{method="other",code="Unimplemented"} 100"#;
    assert_eq!(counts.collect::<Vec<_>>(), [expect]);
}

#[test]
fn stages_of_a_start_are_counted_one_by_one() {
    let figures = Figures::new();
    let stage = |name: &'static str, ms| Stage {
        name: name.into(),
        took: Duration::from_millis(ms),
    };
    figures.started(&[stage("launched", 3), stage("booted", 60)]);
    let page = text(&figures);
    for line in [
        r#"cofferdam_pod_start_stage_duration_seconds_sum{stage="booted"} 0.06"#,
        r#"cofferdam_pod_start_stage_duration_seconds_count{stage="launched"} 1"#,
    ] {
        assert!(page.lines().any(|is| is == line), "{line} in {page}");
    }
}
