/**
 * How much of the KV cache each tenant has, and which have more than their part. A snapshot: it holds until a sequence comes, goes, or
 * gets blocks.
 */
import type { LayerGroup } from "../kernels/kv-layout.js";
import { groupBlocksFor } from "../kv-cache/block-needs.js";
import { runningByTenant, type ScheduledSequence } from "./scheduled-sequence.js";

/** What blocks hold, and the most rows that are written at once. */
export interface BlockUse {
  readonly groups: readonly LayerGroup[];
  readonly tokenBudget: number;
}

/**
 * Blocks that a running sequence is promised: those that its rows need beyond its own, and one more of each group, for its
 * next row.
 */
export function promisedBlocks(
  { groups, tokenBudget }: BlockUse,
  { tokens, table, numPending }: ScheduledSequence,
): number {
  const chunk = Math.min(numPending, tokenBudget);
  return groups.reduce((sum, { window }, group) => {
    const needed = groupBlocksFor(window, tokens.length, chunk);
    return sum + Math.max(0, needed - table.runs[group].ids.length) + 1;
  }, 0);
}

export class MemoryShares {
  /** Blocks that each tenant may have while others want them. */
  readonly #share: number;
  readonly #numGroups: number;
  readonly #running: ReadonlyMap<string, readonly ScheduledSequence[]>;
  readonly #used: ReadonlyMap<string, number>;
  /** Blocks that a tenant's running sequences have; made when they are first asked for. */
  readonly #held = new Map<string, ReadonlySet<number>>();

  /**
   * Counts what running sequences have and are promised. What several of a tenant's sequences share counts once.
   * @param tenants the tenants with sequences that are waited for
   */
  constructor(
    use: BlockUse & { readonly numBlocks: number },
    tenants: readonly string[],
    resident: readonly ScheduledSequence[],
  ) {
    this.#share = Math.floor(use.numBlocks / tenants.length);
    this.#numGroups = use.groups.length;
    this.#running = runningByTenant(resident);
    const promised = (tenant: string) =>
      this.#runningOf(tenant).reduce((sum, sequence) => sum + promisedBlocks(use, sequence), 0);
    this.#used = new Map(tenants.map((tenant) => [tenant, this.#numHeld(tenant) + promised(tenant)]));
  }

  /** Blocks that a tenant has and is promised. */
  usedBy(tenant: string): number {
    return this.#used.get(tenant) ?? 0;
  }

  /** Whether a tenant has no more than its share. */
  isWithin(tenant: string): boolean {
    return this.usedBy(tenant) <= this.#share;
  }

  /**
   * Whether a tenant's share has room for a sequence, and for its next row. What it finds counts like what is
   * computed for it, unless its tenant has it already: whether others have it makes no difference, or a tenant could be
   * owed a place until others give way for it, and not be owed it any more once they have.
   * @param numBlocks that the sequence's rows take at most
   * @param found those of them that are there
   */
  hasRoomFor(tenant: string, numBlocks: number, found: readonly number[]): boolean {
    const held = this.#heldBy(tenant);
    const own = found.filter((block) => held.has(block)).length;
    return this.usedBy(tenant) + numBlocks - own + this.#numGroups <= this.#share;
  }

  /** The youngest of some sequences, in the order of their arrival, of the tenant that has most beyond its share. */
  youngestBeyond(
    candidates: readonly ScheduledSequence[],
    spared: ScheduledSequence | undefined,
  ): ScheduledSequence | null {
    let youngest: ScheduledSequence | null = null;
    let most = this.#share + 1;
    for (const candidate of candidates) {
      const used = this.usedBy(candidate.tenant);
      if (candidate === spared || used < most) continue;
      most = used;
      youngest = candidate;
    }
    return youngest;
  }

  #runningOf(tenant: string): readonly ScheduledSequence[] {
    return this.#running.get(tenant) ?? [];
  }

  #numHeld(tenant: string): number {
    const running = this.#runningOf(tenant);
    // One alone has no block twice: mostly there is nothing to be told apart.
    return running.length === 1 ? running[0].table.numBlocks : this.#heldBy(tenant).size;
  }

  #heldBy(tenant: string): ReadonlySet<number> {
    const known = this.#held.get(tenant);
    if (known !== undefined) return known;
    const held = new Set<number>();
    for (const { table } of this.#runningOf(tenant)) for (const block of table.blockIds) held.add(block);
    this.#held.set(tenant, held);
    return held;
  }
}
