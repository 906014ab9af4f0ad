//! Tables and properties as they are written on the command line: `name=value,name=value`.

use haremq_protocol::properties::BasicProperties;
use haremq_protocol::types::{AMQPValue, FieldTable, ShortString};

/// A table. Whole numbers and `true`/`false` are taken as such, everything else is a string.
///
/// # Errors
/// What is wrong with `text`, for the user.
pub(crate) fn parse_table(text: &str) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    for (name, value) in pairs(text)? {
        table.insert(short(name)?, value_of(value));
    }
    Ok(table)
}

/// Properties by PerfTest's names (`deliveryMode`, `contentType`, ...) or those of AMQP
/// (`delivery-mode`); what is no property becomes a header, as in PerfTest.
///
/// # Errors
/// What is wrong with `text`, for the user.
pub(crate) fn parse_properties(text: &str) -> Result<BasicProperties, String> {
    let mut properties = BasicProperties::default();
    let mut headers = FieldTable::default();
    for (name, value) in pairs(text)? {
        let plain: String = name.chars().filter(|letter| *letter != '-').collect();
        let string = short(value)?;
        properties = match plain.to_ascii_lowercase().as_str() {
            "contenttype" => properties.with_content_type(string),
            "contentencoding" => properties.with_content_encoding(string),
            "deliverymode" => properties.with_delivery_mode(number(name, value)?),
            "priority" => properties.with_priority(number(name, value)?),
            "correlationid" => properties.with_correlation_id(string),
            "replyto" => properties.with_reply_to(string),
            "expiration" => properties.with_expiration(string),
            "messageid" => properties.with_message_id(string),
            "timestamp" => properties.with_timestamp(number(name, value)?),
            "type" => properties.with_type(string),
            "userid" => properties.with_user_id(string),
            "appid" => properties.with_app_id(string),
            "clusterid" => properties.with_cluster_id(string),
            _ => {
                headers.insert(short(name)?, value_of(value));
                properties
            }
        };
    }
    let has_headers = !headers.inner().is_empty();
    Ok(if has_headers { properties.with_headers(headers) } else { properties })
}

/// The pairs of `text`.
///
/// # Errors
/// A part without an equals sign.
pub(crate) fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').ok_or(format!("{part:?} is not name=value"))).collect()
}

fn value_of(text: &str) -> AMQPValue {
    match (text, text.parse::<i32>(), text.parse::<i64>()) {
        ("true", ..) => AMQPValue::Boolean(true),
        ("false", ..) => AMQPValue::Boolean(false),
        (_, Ok(int), _) => AMQPValue::LongInt(int),
        (_, _, Ok(int)) => AMQPValue::LongLongInt(int),
        _ => AMQPValue::LongString(text.into()),
    }
}

fn short(text: &str) -> Result<ShortString, String> {
    if text.len() > 255 {
        return Err(format!("{text:?} is longer than 255 octets"));
    }
    Ok(ShortString::from(text))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}={value} is no number, or too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_types() {
        let table = parse_table("x-max-length=10,x-queue-type=quorum,b=true").expect("sound");
        let get = |name| table.inner().get(name).cloned();
        assert_eq!(get("x-max-length"), Some(AMQPValue::LongInt(10)));
        assert_eq!(get("x-queue-type"), Some(AMQPValue::LongString("quorum".into())));
        assert_eq!(get("b"), Some(AMQPValue::Boolean(true)));
        assert!(parse_table("x").is_err());
    }

    #[test]
    fn unknown_properties_become_headers() {
        let properties = parse_properties("priority=5,deliveryMode=2,region=eu").expect("sound");
        assert_eq!((*properties.priority(), *properties.delivery_mode()), (Some(5), Some(2)));
        let headers = properties.headers().as_ref().expect("there is one");
        assert!(headers.inner().contains_key("region"));
        assert!(parse_properties("priority=many").is_err());
    }
}
