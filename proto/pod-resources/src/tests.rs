//! The API as a table, `wire.txt`, against what our file compiles to.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

const TABLE: &str = include_str!("wire.txt");
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[test]
fn api_compiled_is_the_table() {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let file = files.file.first().unwrap();
    let mut found = BTreeSet::new();
    for service in &file.service {
        for call in &service.method {
            let (name, call_name) = (service.name(), call.name());
            let (request, response) = (last(call.input_type()), last(call.output_type()));
            let package = file.package();
            found.insert(format!(
                "rpc {package}.{name}.{call_name} {request} {response}"
            ));
        }
    }
    for message in &file.message_type {
        found.extend(message.field.iter().map(|field| line(message, field)));
    }
    let expected: BTreeSet<String> = TABLE.lines().map(str::to_owned).collect();
    assert_eq!(found, expected);
}

fn line(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let repeated = match field.label() {
        Label::Repeated => "repeated ",
        _ => "",
    };
    let kind = match field.r#type() {
        Type::String => "string",
        Type::Message => last(field.type_name()),
        other => panic!("{other:?}"),
    };
    let (message, number, name) = (message.name(), field.number(), field.name());
    format!("{message} {number} {name} {repeated}{kind}")
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}
