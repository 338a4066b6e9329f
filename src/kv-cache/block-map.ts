/**
 * The KV cache as its events tell it: which sequence holds which blocks for which positions, and which blocks can be found.
 * Built from the stream alone, so that a listener, in any thread, sees what the cache sees.
 */
import type { KvEvent, PlacedBlock } from "./kv-events.js";

/** The blocks of a sequence for one group of layers, by their number in the sequence: perhaps not from 0 on. */
export type MappedRun = ReadonlyMap<number, number>;

export class BlockMap {
  readonly numBlocks: number;
  /** By sequence and by group. */
  readonly #sequences = new Map<number, Map<number, number>[]>();
  readonly #published = new Set<number>();
  readonly #references: Int32Array;

  /** @param numBlocks all of the cache's, none of them in use when the first event comes */
  constructor(numBlocks: number) {
    this.numBlocks = numBlocks;
    this.#references = new Int32Array(numBlocks);
  }

  /** Numbers of the sequences that hold blocks, ascending. */
  get sequences(): number[] {
    return [...this.#sequences.keys()].sort((a, b) => a - b);
  }

  /** A sequence's blocks, by group of layers. */
  runsOf(sequence: number): readonly MappedRun[] {
    return this.#sequences.get(sequence) ?? [];
  }

  /** Times that sequences hold a block. */
  refCount(block: number): number {
    return this.#references[block];
  }

  /** Whether a block's contents can be found. */
  isPublished(block: number): boolean {
    return this.#published.has(block);
  }

  /** Takes the next event in. */
  apply(event: KvEvent): void {
    switch (event.type) {
      case "allocated":
      case "shared":
      case "hit":
        this.#hold(event);
        break;
      case "loaded":
        this.#hold(event);
        this.#published.add(event.block);
        break;
      case "released":
        this.#release(event);
        break;
      case "published":
        this.#published.add(event.block);
        break;
      case "evicted":
        this.#published.delete(event.block);
        break;
    }
  }

  #hold({ sequence, group, index, block }: PlacedBlock): void {
    const runs = this.#sequences.get(sequence) ?? [];
    this.#sequences.set(sequence, runs);
    while (runs.length <= group) runs.push(new Map());
    runs[group].set(index, block);
    this.#references[block] += 1;
  }

  #release({ sequence, group, index, block }: PlacedBlock): void {
    this.#references[block] -= 1;
    const runs = this.#sequences.get(sequence) ?? [];
    // Another block may have taken its place.
    if (runs[group]?.get(index) === block) runs[group].delete(index);
    if (runs.every(({ size }) => size === 0)) this.#sequences.delete(sequence);
  }
}
