//! A rule carried out, module by module.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rayon::prelude::*;

use super::align::{Aligned, Site, WEIGHT};
use super::base::{BaseModel, Folding};
use super::cat::{assemble, mean_of_whole};
use super::draw::Draws;
use super::fold::{Addition, check_fits, fold, parameter, part_head};
use super::made::{Made, ModuleReport, report};
use super::memory;
use super::rule::{Coefficients, Method, Rule};
use super::space::{self, Here, Space, Update};
use crate::backbone::Weights;
use crate::lora::{Adapter, LoraModule};
use crate::{Error, Result};

/// Bytes that modules may take which are merged into an adapter at the same time. Whatever the number of threads, no more is in memory
/// than that, or than the largest module.
pub const TOGETHER: usize = 128 << 20;

/// A rule, and what a merge by it needs beside the members.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The rank of the result; none: as the rule has it.
    pub rank: Option<usize>,
    /// Where random masks come from.
    pub draws: &'a dyn Draws,
}

impl<'r> Run<'r> {
    /// Merges members into an adapter.
    ///
    /// # Errors
    /// Settings that make no sense, modules that the rule cannot merge, or numbers that are none.
    pub fn adapter(self, members: &Aligned) -> Result<(Adapter, Vec<ModuleReport>)> {
        self.check(members)?;
        let saved = self.whole(members)?;
        let thresholds = self.thresholds(members)?;
        let mut modules = BTreeMap::new();
        let mut reports = Vec::new();
        let one = |site: &Site| -> Result<Option<(LoraModule, ModuleReport)>> {
            let made = self.module(site, thresholds.as_deref())?;
            let Some((module, lost)) = made.module(self.rank_in(site), site)? else {
                return Ok(None);
            };
            let report = report(site, &made, Some(&module), lost)?;
            Ok(Some((module, report)))
        };
        let sites: Vec<Site> = members.sites().collect();
        for group in self.groups(&sites) {
            let made: Vec<_> = group.par_iter().map(one).collect();
            for (site, made) in group.iter().zip(made) {
                if let Some((module, report)) = made? {
                    reports.push(report);
                    modules.insert(site.name().to_string(), module);
                }
            }
        }
        if modules.is_empty() {
            return Err(Error::Merge("no module has a weight other than 0".into()));
        }
        Ok((assemble(&members.adapters(), modules, saved)?, reports))
    }

    /// The modules that are merged at the same time: as many neighbours as [`TOGETHER`] has room for, at least one.
    pub(super) fn groups<'s, 'm>(self, sites: &'s [Site<'m>]) -> impl Iterator<Item = &'s [Site<'m>]> {
        let mut rest = sites;
        std::iter::from_fn(move || {
            let mut bytes = 0;
            let fitting = rest.iter().take_while(|site| {
                bytes += self.memory_of(site);
                bytes <= TOGETHER
            });
            let count = fitting.count().max(1).min(rest.len());
            let (group, later) = rest.split_at(count);
            rest = later;
            (!group.is_empty()).then_some(group)
        })
    }

    /// Merges members into a base in memory, each module whole: what a rule of entries makes is not cut unless a rank is named.
    ///
    /// # Errors
    /// As [`adapter`](Self::adapter), and a base that lacks a module or has it in another shape.
    pub fn into_base(self, members: &Aligned, weights: &mut Weights) -> Result<Vec<ModuleReport>> {
        if !self.is_whole() {
            let (adapter, reports) = self.adapter(members)?;
            fold(weights, &adapter, 1.0)?;
            return Ok(reports);
        }
        self.check(members)?;
        self.whole(members)?;
        // Everything fits before anything changes.
        for adapter in members.adapters() {
            check_fits(weights, adapter)?;
        }
        for adapter in members.adapters() {
            part_head(weights, adapter)?;
        }
        let thresholds = self.thresholds(members)?;
        let mut reports = Vec::new();
        for site in members.sites() {
            let Some((addition, report)) = self.addition(&site, thresholds.as_deref())? else {
                continue;
            };
            let (name, (out, input)) = (parameter(site.name()), site.shape);
            let base = weights.get(&name, &[out, input])?;
            weights.replace(&name, (base + addition.whole()?)?)?;
            reports.push(report);
        }
        Ok(reports)
    }

    /// The same from file to file: sees to it that everything fits; [`Folding::write`] then does it.
    ///
    /// # Errors
    /// As [`into_base`](Self::into_base).
    pub fn into_files<'a>(self, members: &'a Aligned<'a>, base: &'a BaseModel) -> Result<Folding<'a>>
    where
        'r: 'a,
    {
        self.check(members)?;
        Folding::new(self, members, base, self.whole(members)?)
    }

    /// Whether a merge into a base adds updates of any rank.
    fn is_whole(self) -> bool {
        let dense = matches!(self.rule.merging().method(), Method::Matrices(Space::Dense, _));
        dense && self.rank.is_none()
    }

    /// What a merge into a base adds to a module; none where nothing is merged in it.
    pub(super) fn addition(
        self,
        site: &Site,
        thresholds: Option<&[f64]>,
    ) -> Result<Option<(Addition, ModuleReport)>> {
        let made = self.module(site, thresholds)?;
        if self.is_whole() {
            let report = report(site, &made, None, 0.0)?;
            return Ok(match made {
                Made::Update {
                    update: Update::Dense(update),
                    ..
                } => Some((Addition::Dense(update), report)),
                _ => None,
            });
        }
        let Some((module, lost)) = made.module(self.rank_in(site), site)? else {
            return Ok(None);
        };
        let report = report(site, &made, Some(&module), lost)?;
        Ok(Some((Addition::Factors(module), report)))
    }

    /// The weights of all members in a module.
    ///
    /// # Errors
    /// No filter lets the module through.
    pub fn weights(self, site: &Site) -> Result<Vec<f64>> {
        let count = site.factors.len();
        let usual = match self.rule.merging().averages() {
            true => 1.0,
            false => 1.0 / count as f64,
        };
        (0..count)
            .map(|member| site.setting(member, WEIGHT, &usual.into()))
            .collect()
    }

    /// The most that the result keeps of a module's rank; none: all that there is.
    pub fn rank_in(self, site: &Site) -> Option<usize> {
        let ranks = site.ranks();
        let rule = self.rule.merging();
        let usual = match rule.method() {
            _ if rule.keeps_largest_rank() => ranks.iter().max().copied(),
            Method::Matrices(Space::Dense, _) => Some(ranks.iter().sum()),
            _ => None,
        };
        self.rank.or(usual)
    }

    /// Bytes that a module takes while it is merged, beside the members and the result.
    pub fn memory_of(self, site: &Site) -> usize {
        memory::of(self, site)
    }

    /// Merges a module for nothing, so that it is seen how long that takes; into a base where the result is folded into one. Numbers over all
    /// modules are taken for such that nothing depends on.
    ///
    /// # Errors
    /// As [`adapter`](Self::adapter), of this module.
    pub fn rehearse(self, site: &Site, into_base: bool) -> Result<()> {
        if into_base {
            return self.addition(site, None).map(|_| ());
        }
        let made = self.module(site, None)?;
        if let Some((module, lost)) = made.module(self.rank_in(site), site)? {
            report(site, &made, Some(&module), lost)?;
        }
        Ok(())
    }

    /// Makes every member's update of a module dense for nothing, and says how often a rule does so before it merges.
    ///
    /// # Errors
    /// Factors that cannot be read.
    pub fn rehearse_passes(self, site: &Site) -> Result<usize> {
        let passes = self.rule.merging().passes(site.factors.len());
        if passes > 0 {
            for factors in &site.factors {
                space::dense::update(site, *factors)?;
            }
        }
        Ok(passes)
    }

    /// Refuses settings and numbers of members that make no sense, without merging anything.
    ///
    /// # Errors
    /// Says which.
    pub fn check(self, members: &Aligned) -> Result<()> {
        if self.rank == Some(0) {
            return Err(Error::Merge("a rank of 0; give at least 1".into()));
        }
        let rule = self.rule.merging();
        let named = |error| match error {
            Error::Merge(message) => Error::Merge(format!("{}: {message}", self.rule.name())),
            other => other,
        };
        rule.check(members.members().len()).map_err(named)?;
        let own = rule.own_settings();
        for key in members.members().iter().flat_map(|member| member.settings.keys()) {
            if !own.contains(&key.as_str()) {
                let known = match own {
                    [] => "none".to_string(),
                    own => own.join(", "),
                };
                return Err(Error::Merge(format!(
                    "{}: a member has a {key} of its own, where this rule takes {known} of members",
                    self.rule.name()
                )));
            }
        }
        Ok(())
    }

    pub(super) fn thresholds(self, members: &Aligned) -> Result<Option<Vec<f64>>> {
        self.rule.merging().over_all(members)
    }

    fn module(self, site: &Site, thresholds: Option<&[f64]>) -> Result<Made> {
        let weights = self.weights(site)?;
        if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
            return Err(Error::Merge(format!("a weight of {weight}; give finite weights")));
        }
        match self.rule.merging().method() {
            Method::Sum(rule) => Ok(Made::Sum(coefficients(rule, site, &weights)?)),
            Method::Matrices(space, rule) => {
                let here = Here {
                    site,
                    weights: &weights,
                    draws: self.draws,
                    over_all: thresholds,
                };
                let update = space::merge(space, rule, here)?;
                Ok(Made::Update { update, weights })
            }
        }
    }

    /// The modules that members store whole, merged where that can be.
    fn whole(self, members: &Aligned) -> Result<BTreeMap<String, Tensor>> {
        let names = members.whole();
        let Some(first) = names.first() else {
            return Ok(BTreeMap::new());
        };
        let refuse = |why: &str| {
            Err(Error::Merge(format!(
                "{first} is stored whole (modules_to_save), so that its update is not known without the base, and {} {why}; merge with \
                 linear or cat and weights that sum to 1, or train without it",
                self.rule.name()
            )))
        };
        let Method::Sum(rule) = self.rule.merging().method() else {
            return refuse("makes entries of updates");
        };
        if !rule.are_given() {
            return refuse("goes by the angles between updates");
        }
        let mut merged = BTreeMap::new();
        for name in names {
            let site = members.site_of_whole(name);
            let weights = rule.coefficients(&site, &self.weights(&site)?)?;
            let parts: Vec<(&Adapter, f64)> = members.adapters().into_iter().zip(weights).collect();
            let parts: Vec<_> = parts.into_iter().filter(|(_, weight)| *weight != 0.0).collect();
            if let Some(whole) = mean_of_whole(&parts)?.remove(name) {
                merged.insert(name.clone(), whole);
            }
        }
        Ok(merged)
    }
}

fn coefficients(rule: &dyn Coefficients, site: &Site, weights: &[f64]) -> Result<Vec<f64>> {
    let found = rule.coefficients(site, weights)?;
    match found.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::Merge(format!(
            "{}: a coefficient of {value}; the factors hold something other than finite numbers",
            site.name()
        ))),
        None => Ok(found),
    }
}
