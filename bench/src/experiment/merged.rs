//! What the adapters of a ranking come to: their mean, or what a rule makes of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use weaverec_model::lora::Adapter;
use weaverec_model::merge;
use weaverec_model::merge::align::{Aligned, Member, STATISTICS};
use weaverec_model::merge::draw::Seeded;
use weaverec_model::merge::rule::Rule;
use weaverec_model::merge::run::Run;
use weaverec_model::merge::setting::Setting;

use super::measured::Measured;
use super::replicate::{self, Replicate};
use crate::method::MergeRule;

/// What the adapters of a ranking come to.
pub(super) enum Merged<'a> {
    /// The uniform mean, nothing for none of them.
    Mean(&'a [Adapter]),
    /// Something else.
    One(Box<Adapter>),
}

impl<'a> Merged<'a> {
    /// The merge by a rule, with the file of what was measured of each member where the rule goes by it. `target` is the place of the target's
    /// own adapter; `replicate` draws the masks, where there are any.
    pub fn by_rule(
        adapters: &'a [Adapter],
        rule: MergeRule,
        measured: Option<&Measured>,
        target: usize,
        replicate: Replicate,
    ) -> Result<Self> {
        let members = adapters.iter().enumerate().map(|(place, adapter)| {
            let mut member = match rule.adds {
                true => Member::weighing(adapter, 1.0),
                // They weigh what the rule gives them where nothing is set.
                false => Member {
                    adapter,
                    settings: BTreeMap::new(),
                },
            };
            if let Some(file) = measured.and_then(|measured| measured.files().get(place)) {
                let file = Setting::File(file.clone());
                member.settings.insert(STATISTICS.to_owned(), file);
            }
            member
        });
        let read = rule.read(adapters.len(), target)?;
        Self::of(members.collect(), &read, replicate)
            .with_context(|| format!("cannot merge by {}", rule.name))
    }

    /// The merge of weighed members by a rule.
    pub fn of(members: Vec<Member>, rule: &Rule, replicate: Replicate) -> Result<Self> {
        let run = Run {
            rule,
            rank: None,
            draws: &Seeded(replicate::merge_seed(replicate)),
        };
        let (adapter, _) = run.adapter(&Aligned::new(members)?)?;
        Ok(Merged::One(Box::new(adapter)))
    }

    /// So much of the update; none where there is none.
    pub fn times(&self, scale: f64) -> Result<Option<Adapter>> {
        Ok(match self {
            Merged::Mean([]) => None,
            Merged::Mean(some) => Some(merge::uniform_scaled(&some.iter().collect::<Vec<_>>(), scale)?),
            Merged::One(adapter) => Some(merge::weighted(&[(adapter, scale)])?),
        })
    }

    /// Whether the model stays as it is.
    pub fn is_none(&self) -> bool {
        matches!(self, Merged::Mean([]))
    }
}
