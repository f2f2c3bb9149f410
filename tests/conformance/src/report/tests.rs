//! Reports as Ginkgo writes them.

use super::{Outcome, Report};

fn outcome(state: &str, message: &str) -> Outcome {
    let json = serde_json::json!([{ "SpecReports": [
        { "ContainerHierarchyTexts": null, "LeafNodeType": "BeforeSuite", "LeafNodeText": "", "State": "failed" },
        { "ContainerHierarchyTexts": ["a", "b"], "LeafNodeType": "It", "LeafNodeText": "c", "State": state,
          "Failure": { "Message": message } },
    ]}]);
    let report = Report::parse(&json.to_string()).unwrap();
    assert_eq!(report.specs.len(), 1, "only specs count");
    assert_eq!(report.specs[0].name, "a / b / c");
    report.specs[0].outcome.clone()
}

#[test]
fn states_are_told_apart() {
    assert_eq!(outcome("passed", ""), Outcome::Passed);
    assert_eq!(outcome("skipped", ""), Outcome::NotSelected);
    assert_eq!(
        outcome("skipped", "no AppArmor"),
        Outcome::Skipped("no AppArmor".to_owned())
    );
    for state in [
        "failed",
        "panicked",
        "timedout",
        "interrupted",
        "aborted",
        "a new one",
    ] {
        let failed = Outcome::Failed(format!("{state}: why"));
        assert_eq!(outcome(state, "why"), failed);
    }
}

#[test]
fn report_without_specs_is_none() {
    assert!(Report::parse("[]").is_err());
    assert!(Report::parse(r#"[{ "SpecReports": null }]"#).is_err());
    assert!(Report::parse("").is_err());
}
