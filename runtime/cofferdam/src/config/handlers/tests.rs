//! What a handler says is its own, the rest is as usual; what makes no sense is refused by name.

use super::*;

fn parse(text: &str) -> Result<RuntimeHandlers, String> {
    let table: toml::Table = toml::from_str(&format!("handlers = {text}")).unwrap();
    RuntimeHandlers::try_from(table["handlers"].clone())
}

fn usual() -> Guest {
    Guest {
        kernel: "/k".into(),
        image: "/i".into(),
        kernel_arguments: "quiet".to_owned(),
        size: VmDefaults {
            processors: 1,
            memory_mib: 256,
            overhead_mib: 96,
        },
    }
}

fn guest(text: &str) -> Guest {
    let handlers = parse(text).unwrap().laid_over(&usual());
    match &handlers["one"] {
        Handler::Vm(guest) => guest.clone(),
        Handler::Host => panic!("it is for pods on the node"),
    }
}

#[test]
fn what_a_handler_does_not_say_is_as_usual() {
    let check = |text: &str, change: fn(&mut Guest)| {
        let mut expect = usual();
        change(&mut expect);
        assert_eq!(guest(text), expect, "{text}");
    };
    check("[\"one\"]", |_| {});
    check("{ one = { kind = \"vm\" } }", |_| {});
    check("{ one = { kind = \"vm\", kernel = \"/gpu\" } }", |guest| {
        guest.kernel = "/gpu".into()
    });
    check(
        "{ one = { kind = \"vm\", guest_image = \"/gpu\", kernel_arguments = \"\" } }",
        |guest| {
            guest.image = "/gpu".into();
            guest.kernel_arguments.clear();
        },
    );
    check(
        "{ one = { kind = \"vm\", cpus = 4, memory_mib = 1024, overhead_mib = 128 } }",
        |guest| {
            guest.size = VmDefaults {
                processors: 4,
                memory_mib: 1024,
                overhead_mib: 128,
            };
        },
    );
}

#[test]
fn pods_on_the_node_have_no_guest() {
    let handlers = parse("{ one = { kind = \"host\" } }").unwrap();
    let handlers = handlers.laid_over(&usual());
    assert!(matches!(handlers["one"], Handler::Host));
}

#[test]
fn wrong_handler_is_refused_by_name() {
    let check = |text: &str, expect: &str| {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expect), "{text} gave {error}");
        assert!(error.contains("cri.runtime_handlers"), "{error}");
    };
    check("3", "a integer, no table of names");
    check("[3]", "names a integer");
    check("{ one = {} }", "one is not right: missing field `kind`");
    check("{ one = { kind = \"gpu\" } }", "gpu");
    check("{ one = { kind = \"vm\", kernle = \"/k\" } }", "kernle");
    check("{ one = { kind = \"vm\", cpus = 0 } }", "one is not right");
    check(
        "{ one = { kind = \"vm\", memory_mib = 8 } }",
        "one has a memory_mib below 16",
    );
    check(
        "{ one = { kind = \"host\", kernel = \"/k\" } }",
        "one is for pods on the node, which have no kernel",
    );
    check(
        "{ one = { kind = \"host\", overhead_mib = 1 } }",
        "which have no overhead_mib",
    );
}
