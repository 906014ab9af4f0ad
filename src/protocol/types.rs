//! The AMQP types of the cold methods, as `amq-protocol` defines them.

pub use amq_protocol::types::{
    AMQPType, AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString,
};
