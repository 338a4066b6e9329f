/**
 * The KV cache as its events tell it: which sequence holds which blocks in which order, and which blocks can be found.
 * Built from the stream alone, so that a listener, in any thread, sees what the cache sees.
 */
import type { KvEvent } from "./kv-events.js";

/** What is known of a sequence. */
interface MappedSequence {
  blocks: number[];
  /** It has rows, so that a hit gives it another block in place of one of its own. */
  hasRows: boolean;
}

export class BlockMap {
  readonly numBlocks: number;
  readonly #sequences = new Map<number, MappedSequence>();
  readonly #published = new Set<number>();
  readonly #references: Int32Array;
  /** The block that takes the place of the one that its sequence releases next. */
  #replacement: number | null = null;

  /** @param numBlocks all of the cache's, none of them in use when the first event comes */
  constructor(numBlocks: number) {
    this.numBlocks = numBlocks;
    this.#references = new Int32Array(numBlocks);
  }

  /** Numbers of the sequences that hold blocks, ascending. */
  get sequences(): number[] {
    return [...this.#sequences]
      .flatMap(([id, { blocks }]) => (blocks.length > 0 ? [id] : []))
      .sort((a, b) => a - b);
  }

  /** A sequence's blocks, in order of position. */
  blocksOf(sequence: number): readonly number[] {
    return this.#sequences.get(sequence)?.blocks ?? [];
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
        this.#hold(event.sequence, event.block);
        break;
      case "shared":
        this.#hold(event.sequence, event.block).hasRows = true;
        break;
      case "written":
        this.#sequence(event.sequence).hasRows = true;
        break;
      case "hit":
        if (this.#sequence(event.sequence).hasRows) {
          this.#references[event.block] += 1;
          this.#replacement = event.block;
        } else this.#hold(event.sequence, event.block);
        break;
      case "copied":
        // The copy was allocated just before, at the end.
        this.#sequence(event.sequence).blocks.pop();
        this.#replacement = event.to;
        break;
      case "released":
        this.#release(event.sequence, event.block);
        break;
      case "published":
        this.#published.add(event.block);
        break;
      case "evicted":
        this.#published.delete(event.block);
        break;
    }
  }

  #hold(id: number, block: number): MappedSequence {
    const sequence = this.#sequence(id);
    sequence.blocks.push(block);
    this.#references[block] += 1;
    return sequence;
  }

  #release(id: number, block: number): void {
    const sequence = this.#sequence(id);
    this.#references[block] -= 1;
    const index = sequence.blocks.lastIndexOf(block);
    if (this.#replacement === null) sequence.blocks.splice(index, 1);
    else sequence.blocks[index] = this.#replacement;
    this.#replacement = null;
    if (sequence.blocks.length === 0) this.#sequences.delete(id);
  }

  #sequence(id: number): MappedSequence {
    let sequence = this.#sequences.get(id);
    if (sequence === undefined) {
      sequence = { blocks: [], hasRows: false };
      this.#sequences.set(id, sequence);
    }
    return sequence;
  }
}
