/**
 * How tenants share what a step has: no tenant gets more than it asks for, and none less than its equal part while another
 * has more. Owns the order in which they take turns where something cannot be divided.
 */

import type { ScheduledSequence } from "./scheduled-sequence.js";

export interface StepLimits {
  /** Rows of a step. */
  readonly tokenBudget: number;
  /** Sequences in a step. */
  readonly maxSequences: number;
  /** Rows of logits of a step. */
  readonly maxLogitsRows: number;
}

/** What is left of a part of a step. */
export interface StepShare {
  rowsLeft: number;
  logitsLeft: number;
  sequencesLeft: number;
}

/**
 * What each tenant has of a step.
 * @param tenants in the order of their turns
 * @param running by tenant, the sequences that could have rows in it
 */
export function stepShares(
  { tokenBudget, maxSequences, maxLogitsRows }: StepLimits,
  tenants: readonly string[],
  running: ReadonlyMap<string, readonly ScheduledSequence[]>,
): ReadonlyMap<string, StepShare> {
  const demands = (of: (sequence: ScheduledSequence) => number) =>
    tenants.map((tenant) => (running.get(tenant) ?? []).reduce((sum, sequence) => sum + of(sequence), 0));
  const rows = fairShares(
    tokenBudget,
    demands(({ numPending }) => numPending),
  );
  const logits = fairShares(
    maxLogitsRows,
    demands(({ numLogitsPending }) => numLogitsPending),
  );
  const sequences = fairShares(
    maxSequences,
    demands(() => 1),
  );
  return new Map(
    tenants.map((tenant, i) => [
      tenant,
      { rowsLeft: rows[i], logitsLeft: logits[i], sequencesLeft: sequences[i] },
    ]),
  );
}

/**
 * Divides a whole among those that ask for parts of it (max-min fairness): a tenant that asks for less than an equal part gets it,
 * and what that leaves goes to the others in equal parts. What is left of a division goes to the first ones.
 * @param total a whole number from 0
 * @param demands whole numbers from 0, in the order of turns
 * @returns what each gets, in the same order; in sum `total`, or what was asked for
 */
export function fairShares(total: number, demands: readonly number[]): number[] {
  let left = total;
  let level = 0;
  const ascending = [...demands].sort((a, b) => a - b);
  for (const [i, demand] of ascending.entries()) {
    level = Math.floor(left / (demands.length - i));
    if (demand > level) break;
    left -= demand;
    level = demand;
  }
  const shares = demands.map((demand) => Math.min(demand, level));
  let rest = total - shares.reduce((sum, share) => sum + share, 0);
  for (const [i, demand] of demands.entries()) {
    if (rest === 0) break;
    if (demand > shares[i]) {
      shares[i] += 1;
      rest -= 1;
    }
  }
  return shares;
}

/** Whose turn it is: the tenant that has waited longest for one, newcomers last. */
export class TurnOrder {
  #order: readonly string[] = [];

  /** The tenants that are there now, in the order of their turns. The others are forgotten. */
  of(present: ReadonlySet<string>): readonly string[] {
    // A set has each once, in the order in which they were first added.
    const known = this.#order.filter((tenant) => present.has(tenant));
    this.#order = [...new Set([...known, ...present])];
    return this.#order;
  }

  /** No other tenant is there: all others are forgotten. */
  only(tenant: string): void {
    if (this.#order.length !== 1 || this.#order[0] !== tenant) this.#order = [tenant];
  }

  /** These have had a turn: they come behind all others, and the first of them last. */
  served(tenants: ReadonlySet<string>): void {
    const [first, ...others] = this.#order.filter((tenant) => tenants.has(tenant));
    if (first === undefined) return;
    this.#order = [...this.#order.filter((tenant) => !tenants.has(tenant)), ...others, first];
  }
}
