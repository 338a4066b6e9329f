/** How much of the KV cache each tenant has, and which have more than their part. A snapshot: sequences that come or go change it. */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { ScheduledSequence } from "./scheduled-sequence.js";

/** Blocks that a sequence's rows need beyond those that it has. */
export function missingBlocks({ tokens, table }: ScheduledSequence): number {
  return Math.max(0, Math.ceil(tokens.length / BLOCK_SIZE) - table.blockIds.length);
}

export class MemoryShares {
  /** Blocks that each tenant may have while others want them. */
  readonly #share: number;
  readonly #used: ReadonlyMap<string, number>;

  /**
   * Counts what running sequences have and are promised: what they miss, and one more for each, for its next row. What
   * several of a tenant's sequences share counts once.
   * @param tenants the tenants with sequences that are waited for
   */
  constructor(numBlocks: number, tenants: readonly string[], resident: readonly ScheduledSequence[]) {
    this.#share = Math.floor(numBlocks / tenants.length);
    this.#used = new Map(
      tenants.map((tenant) => {
        const held = new Set<number>();
        let promised = 0;
        for (const sequence of resident) {
          if (!sequence.isAwaited || sequence.tenant !== tenant) continue;
          for (const block of sequence.table.blockIds) held.add(block);
          promised += missingBlocks(sequence) + 1;
        }
        return [tenant, held.size + promised];
      }),
    );
  }

  /** Blocks that a tenant has and is promised. */
  usedBy(tenant: string): number {
    return this.#used.get(tenant) ?? 0;
  }

  /** Whether a tenant's share has room for so many more blocks. */
  leaves(tenant: string, more: number): boolean {
    return this.usedBy(tenant) + more <= this.#share;
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
}
