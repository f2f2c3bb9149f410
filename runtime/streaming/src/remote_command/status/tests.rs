//! How ends are told, in every version.

use super::{Report, status};
use crate::backend::End;

#[test]
fn status_is_what_kubernetes_clients_read() {
    let told = |end| status(&end, Report::Status);
    assert_eq!(told(End::Exited(0)), r#"{"status":"Success"}"#);
    let three: serde_json::Value = serde_json::from_str(&told(End::Exited(3))).unwrap();
    assert_eq!(three["status"], "Failure");
    assert_eq!(three["reason"], "NonZeroExitCode");
    let causes = serde_json::json!([{ "reason": "ExitCode", "message": "3" }]);
    assert_eq!(three["details"]["causes"], causes);
    let failed = End::Failed("no \"shell\"".to_owned());
    let failed: serde_json::Value = serde_json::from_str(&told(failed)).unwrap();
    assert_eq!(failed["status"], "Failure");
    assert_eq!(failed["reason"], "InternalError");
    assert_eq!(failed["message"], "no \"shell\"");
    assert_eq!(failed["code"], 500);
}

#[test]
fn older_clients_read_a_sentence_or_nothing() {
    let told = |end| status(&end, Report::Text);
    assert_eq!(told(End::Exited(0)), "");
    assert!(told(End::Exited(137)).ends_with(": 137"));
    assert_eq!(told(End::Failed("no shell".to_owned())), "no shell");
}
