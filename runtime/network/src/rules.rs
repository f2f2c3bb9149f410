//! The policy rules of a namespace, as a guest is to have them. Main function: [`read`], for one rule.

use model::{Prefix, Rule};
use rtnetlink::packet_route::{
    AddressFamily,
    route::RouteProtocol,
    rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage},
};

/// How the kernel says that no prefix length is suppressed.
const NOT_SUPPRESSED: u32 = u32::MAX;

/// What a rule has that no guest can be told yet, and its priority.
pub(crate) type Unsupported = (u32, String);

/// None for rules that the kernel made, and for those of other families.
pub(crate) fn read(message: &RuleMessage) -> Option<Result<Rule, Unsupported>> {
    let header = &message.header;
    let ipv6 = match header.family {
        AddressFamily::Inet => false,
        AddressFamily::Inet6 => true,
        _ => return None,
    };
    let by_kernel = RuleAttribute::Protocol(RouteProtocol::Kernel);
    if message.attributes.contains(&by_kernel) {
        return None;
    }
    let mut rule = Rule {
        priority: 0,
        ipv6,
        action: header.action.into(),
        table: header.table.into(),
        source: None,
        destination: None,
        input_interface: None,
        output_interface: None,
        mark: None,
        inverted: header.flags.contains(RuleFlags::Invert),
        suppress_prefix_length: None,
    };
    let mut unsupported = None;
    for attribute in &message.attributes {
        unsupported = unsupported.or(fill(&mut rule, message, attribute));
    }
    if header.tos != 0 {
        unsupported = Some("a type of service".to_owned());
    }
    let actions = [
        RuleAction::ToTable,
        RuleAction::Blackhole,
        RuleAction::Unreachable,
        RuleAction::Prohibit,
    ];
    if !actions.contains(&header.action) {
        unsupported = Some(format!("the action {:?}", header.action));
    }
    Some(match unsupported {
        Some(what) => Err((rule.priority, what)),
        None => Ok(rule),
    })
}

fn fill(rule: &mut Rule, message: &RuleMessage, attribute: &RuleAttribute) -> Option<String> {
    let prefix = |address, length| Some(Prefix { address, length });
    match attribute {
        RuleAttribute::Priority(priority) => rule.priority = *priority,
        RuleAttribute::Table(table) => rule.table = *table,
        RuleAttribute::Source(from) => rule.source = prefix(*from, message.header.src_len),
        RuleAttribute::Destination(to) => rule.destination = prefix(*to, message.header.dst_len),
        RuleAttribute::Iifname(name) => rule.input_interface = Some(name.clone()),
        RuleAttribute::Oifname(name) => rule.output_interface = Some(name.clone()),
        RuleAttribute::FwMark(mark) => {
            rule.mark = Some((*mark, rule.mark.map_or(u32::MAX, |(_, mask)| mask)));
        }
        RuleAttribute::FwMask(mask) => {
            rule.mark = Some((rule.mark.map_or(0, |(mark, _)| mark), *mask));
        }
        RuleAttribute::SuppressPrefixLen(NOT_SUPPRESSED) | RuleAttribute::Protocol(_) => {}
        RuleAttribute::SuppressPrefixLen(length) => rule.suppress_prefix_length = Some(*length),
        other => return Some(format!("{other:?}")),
    }
    None
}
