//! A coupling as one operation against its expansion in basic ones: values, all derivatives, all structures.

mod expansion;
mod facts;
mod rows;
mod trial;
