//! Short forms of what clients send, and of what is compared.

use haremq_protocol::method::{
    AMQPClass, access, basic, channel, confirm, connection, exchange, queue, tx,
};
use haremq_protocol::types::{AMQPValue, FieldTable};

/// A method of any class, so that a test can write it as a literal.
pub(crate) trait IntoMethod {
    /// The method with its class around it.
    fn into_method(self) -> AMQPClass;
}

impl IntoMethod for AMQPClass {
    fn into_method(self) -> AMQPClass {
        self
    }
}

macro_rules! into_method {
    ($($class:ident $module:ident: $($method:ident)+;)+) => {
        $($(impl IntoMethod for $module::$method {
            fn into_method(self) -> AMQPClass {
                AMQPClass::$class($module::AMQPMethod::$method(self))
            }
        })+)+
    };
}

into_method! {
    Access access: Request;
    Basic basic: Cancel CancelOk Consume Get Publish Qos Recover RecoverAsync;
    Channel channel: Close CloseOk Flow FlowOk Open;
    Confirm confirm: Select;
    Connection connection: Close CloseOk Open StartOk TuneOk UpdateSecret;
    Exchange exchange: Bind Declare Delete Unbind;
    Queue queue: Bind Declare Delete Purge Unbind;
    Tx tx: Commit Rollback Select;
}

/// A table of arguments or headers.
pub(crate) fn arguments<const N: usize>(pairs: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert(key.into(), value);
    }
    table
}

/// A long string.
pub(crate) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// An integer as most clients send it.
pub(crate) fn long(number: i32) -> AMQPValue {
    AMQPValue::LongInt(number)
}

/// The name of a method for a message of a failing test.
pub(crate) fn shown(method: &AMQPClass) -> String {
    format!("{method:?}").chars().take(200).collect()
}
