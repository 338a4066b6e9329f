/** An engine that is stepped by hand, for tests that say what each step computes. */
import { expect } from "vitest";
import { EngineCore } from "../../src/engine/engine-core.js";
import type { ScheduledSequence } from "../../src/engine/scheduled-sequence.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import type { WantedAs } from "../../src/model/forward-batch.js";
import type { EngineEvent } from "../../src/protocol/engine-stats.js";
import type { ModelParts } from "../fed-sequence.js";
import { firstBlocks } from "../first-blocks.js";
import { loadInProcess } from "../in-process.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";

/** A small model with a context of 1,024 and room for 256 KV blocks. */
export async function steppedModel(): Promise<ModelParts> {
  const files = randomModelFiles({ context: 1024, vocab: 1000 });
  return (await loadInProcess(memoryFiles("small", files), { threads: 1 })).core;
}

export interface Limits {
  readonly numBlocks?: number;
  readonly tokenBudget?: number;
  readonly maxSequences?: number;
}

interface SequenceStart {
  /** Further tokens that it decodes. */
  readonly more?: number;
  readonly salt?: string | null;
  readonly tenant?: string | undefined;
  readonly logitsFrom?: number;
  readonly wantedAs?: WantedAs;
}

/** An engine that is stepped by hand, and notes what happens. */
export class SteppedEngine {
  readonly core: EngineCore;
  readonly events: EngineEvent[] = [];
  /** Sequences whose logits came in the last step, in the order of their coming. */
  served: ScheduledSequence[] = [];

  constructor(parts: ModelParts, { numBlocks = 256, tokenBudget = 512, maxSequences = 64 }: Limits = {}) {
    const { kernels, model } = parts;
    const kvCache = firstBlocks(parts, numBlocks);
    this.core = new EngineCore({ model, kernels, kvCache, tokenBudget, maxSequences });
    this.core.listen((event) => this.events.push(event));
  }

  /** Starts a sequence; it decodes `more` further tokens (its last token, plus one each time) and then rests. */
  start(
    tokens: readonly number[],
    { more = 0, salt = "", tenant, logitsFrom, wantedAs }: SequenceStart = {},
  ): ScheduledSequence {
    let left = more;
    const sequence: ScheduledSequence = this.core.start(
      tokens,
      {
        take: ({ firstPosition, count }) => {
          if (firstPosition + count < sequence.tokens.length) return;
          this.served.push(sequence);
          if (left > 0) this.core.extend(sequence, [(sequence.tokens.at(-1)! + 1) % 1000]);
          left -= 1;
        },
        fail: (error) => {
          throw error;
        },
      },
      {
        ...{ salt, tenant },
        ...(logitsFrom !== undefined && { logitsFrom }),
        ...(wantedAs !== undefined && { wantedAs }),
      },
    );
    return sequence;
  }

  /** One step; the rows that each sequence got, by its number. */
  step(): Record<number, number> {
    this.served = [];
    this.events.length = 0;
    this.core.step();
    expect(violatedInvariants(this.core.kvCache)).toEqual([]);
    const rows: Record<number, number> = {};
    for (const event of this.events)
      if (event.type === "written") rows[event.sequence] = event.to - event.from;
    return rows;
  }

  /** Steps until nothing waits. */
  finish(): Record<number, number>[] {
    const steps = [];
    while (this.core.hasWork) steps.push(this.step());
    return steps;
  }

  of(...types: EngineEvent["type"][]): EngineEvent[] {
    return this.events.filter(({ type }) => types.includes(type));
  }

  get freeBlocks(): number[] {
    return this.core.kvCache.pool.freeBlocks();
  }
}

/** Token ids that follow one another. */
export const run = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => (from + i) % 1000);
