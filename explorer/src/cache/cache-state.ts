/**
 * The KV cache as its events tell it: who holds which block, what is findable, what each sequence has. A state is made
 * from the events up to a cursor and from nothing else; snapshots on the way make going back cheap.
 *
 * Sequences are the engine's: their numbers are handed out in the order of the requests, and a fork's when it is forked.
 */
import type { EngineEvent } from "lastrow";

export const BLOCK_SIZE = 16;

interface BlockState {
  /** Numbers of the sequences that hold it, in the order in which they came. */
  readonly owners: readonly number[];
  /** Full, and others can find it. */
  readonly isPublished: boolean;
  /** Times that its contents had to go for others'. */
  readonly evictions: number;
}

export interface SequenceState {
  readonly sequence: number;
  /** The sequence that it was forked from; null for one that a request began. */
  readonly parent: number | null;
  /** Its block table. */
  readonly blocks: readonly number[];
  /** Rows that it has in the cache. */
  readonly rows: number;
  readonly status: "running" | "preempted" | "ended";
  readonly preemptions: number;
  /** Rows that it found in the cache instead of computing them. */
  readonly rowsFound: number;
  readonly rowsComputed: number;
  /** Begins, or comes back: the blocks that it is given now hold a prefix that was found. */
  readonly isStarting: boolean;
}

export interface CacheState {
  readonly blocks: readonly BlockState[];
  readonly sequences: ReadonlyMap<number, SequenceState>;
  readonly step: number;
  readonly counts: {
    /** Rows that were written, and rows that were there already. */
    readonly rowsComputed: number;
    readonly rowsFound: number;
    readonly evictions: number;
    readonly copies: number;
    readonly preemptions: number;
  };
  /** Blocks that the last event was about. */
  readonly touched: readonly number[];
  /** A block that waits to take the place of the one that its sequence lets go of next. */
  readonly replacement: { readonly sequence: number; readonly block: number } | null;
}

function emptyCache(numBlocks: number): CacheState {
  const block: BlockState = { owners: [], isPublished: false, evictions: 0 };
  return {
    blocks: Array.from({ length: numBlocks }, () => block),
    sequences: new Map(),
    step: 0,
    counts: { rowsComputed: 0, rowsFound: 0, evictions: 0, copies: 0, preemptions: 0 },
    touched: [],
    replacement: null,
  };
}

const NEW_SEQUENCE = {
  parent: null,
  blocks: [],
  rows: 0,
  status: "running",
  preemptions: 0,
  rowsFound: 0,
  rowsComputed: 0,
  isStarting: true,
} as const;

/** The state after one more event. */
function afterEvent(state: CacheState, event: EngineEvent): CacheState {
  const { counts } = state;
  switch (event.type) {
    case "allocated": {
      const taken = hold(state, event.block, event.sequence);
      return { ...change(taken, event.sequence, () => ({ isStarting: false })), touched: [event.block] };
    }
    case "hit": {
      const taken = hold(state, event.block, event.sequence);
      if (!sequenceOf(state, event.sequence).isStarting) {
        // It has just filled a block whose contents were there: that one takes the place of its own.
        const replacement = { sequence: event.sequence, block: event.block };
        return { ...taken, touched: [event.block], replacement };
      }
      const found = change(taken, event.sequence, (sequence) => ({
        rows: sequence.rows + BLOCK_SIZE,
        rowsFound: sequence.rowsFound + BLOCK_SIZE,
        status: "running",
      }));
      return {
        ...found,
        touched: [event.block],
        counts: { ...counts, rowsFound: counts.rowsFound + BLOCK_SIZE },
      };
    }
    case "shared": {
      const parent = parentOf(state, event.block, sequenceOf(state, event.sequence).parent);
      const taken = hold(state, event.block, event.sequence);
      const forked = change(taken, event.sequence, () => ({
        parent,
        rows:
          parent === null
            ? 0
            : Math.min(
                sequenceOf(state, parent).rows,
                BLOCK_SIZE * sequenceOf(taken, event.sequence).blocks.length,
              ),
        isStarting: false,
      }));
      return { ...forked, touched: [event.block] };
    }
    case "written": {
      const count = event.to - event.from;
      const wrote = change(state, event.sequence, (sequence) => ({
        rows: event.to,
        rowsComputed: sequence.rowsComputed + count,
        status: "running",
        isStarting: false,
      }));
      const { blocks } = sequenceOf(wrote, event.sequence);
      const first = Math.floor(event.from / BLOCK_SIZE);
      return {
        ...wrote,
        touched: blocks.slice(first, Math.ceil(event.to / BLOCK_SIZE)),
        counts: { ...counts, rowsComputed: counts.rowsComputed + count },
      };
    }
    case "published":
      return { ...changeBlock(state, event.block, { isPublished: true }), touched: [event.block] };
    case "copied":
      return {
        ...state,
        replacement: { sequence: event.sequence, block: event.to },
        touched: [event.from, event.to],
        counts: { ...counts, copies: counts.copies + 1 },
      };
    case "released":
      return { ...letGo(state, event.block, event.sequence), touched: [event.block] };
    case "evicted": {
      const { evictions } = state.blocks[event.block];
      return {
        ...changeBlock(state, event.block, { isPublished: false, evictions: evictions + 1 }),
        touched: [event.block],
        counts: { ...counts, evictions: counts.evictions + 1 },
      };
    }
    case "preempted":
      return {
        ...change(state, event.sequence, (sequence) => ({
          rows: 0,
          status: "preempted",
          preemptions: sequence.preemptions + 1,
          isStarting: true,
        })),
        touched: [],
        counts: { ...counts, preemptions: counts.preemptions + 1 },
      };
    case "step":
      return { ...state, step: event.step, touched: [] };
    default:
      return state;
  }
}

function sequenceOf(state: CacheState, sequence: number): SequenceState {
  return state.sequences.get(sequence) ?? { sequence, ...NEW_SEQUENCE };
}

function change(
  state: CacheState,
  number: number,
  what: (sequence: SequenceState) => Partial<SequenceState>,
): CacheState {
  const sequence = sequenceOf(state, number);
  const sequences = new Map(state.sequences);
  sequences.set(number, { ...sequence, ...what(sequence) });
  return { ...state, sequences };
}

function changeBlock(state: CacheState, block: number, what: Partial<BlockState>): CacheState {
  const blocks = [...state.blocks];
  blocks[block] = { ...blocks[block], ...what };
  return { ...state, blocks };
}

function hold(state: CacheState, block: number, number: number): CacheState {
  const held = changeBlock(state, block, { owners: [...state.blocks[block].owners, number] });
  return change(held, number, ({ blocks }) => ({ blocks: [...blocks, block], status: "running" }));
}

function letGo(state: CacheState, block: number, number: number): CacheState {
  const { owners } = state.blocks[block];
  const at = owners.indexOf(number);
  const left = changeBlock(state, block, { owners: owners.filter((_, i) => i !== at) });
  const { replacement } = state;
  const replaces = replacement !== null && replacement.sequence === number && replacement.block !== block;
  const changed = change(left, number, (sequence) => {
    const blocks = [...sequence.blocks];
    const place = blocks.lastIndexOf(block);
    if (replaces) {
      // The new block was added at the end; its place is that of the old one.
      blocks.splice(blocks.lastIndexOf(replacement.block), 1);
      blocks[place] = replacement.block;
      return { blocks };
    }
    blocks.splice(place, 1);
    const rows = Math.min(sequence.rows, BLOCK_SIZE * blocks.length);
    return blocks.length === 0 ? { blocks, rows: 0, status: "ended" } : { blocks, rows };
  });
  return replaces ? { ...changed, replacement: null } : changed;
}

/** Who was forked: one that holds this block, and all that were shared before it; rather a request's first than a fork. */
function parentOf(state: CacheState, block: number, known: number | null): number | null {
  const { owners } = state.blocks[block];
  if (known !== null && owners.includes(known)) return known;
  return owners.find((owner) => sequenceOf(state, owner).parent === null) ?? owners[0] ?? null;
}

const SNAPSHOT_EVERY = 128;

/** Events as they come, and the state after any number of them. */
export class CacheRecording {
  readonly numBlocks: number;
  readonly events: EngineEvent[] = [];
  readonly #snapshots: CacheState[];

  constructor(numBlocks: number) {
    this.numBlocks = numBlocks;
    this.#snapshots = [emptyCache(numBlocks)];
  }

  push(event: EngineEvent): void {
    this.events.push(event);
    if (this.events.length % SNAPSHOT_EVERY === 0) this.#snapshots.push(this.at(this.events.length));
  }

  /** The state after the first `cursor` events. */
  at(cursor: number): CacheState {
    const known = Math.min(Math.floor(cursor / SNAPSHOT_EVERY), this.#snapshots.length - 1);
    let state = this.#snapshots[known];
    for (const event of this.events.slice(known * SNAPSHOT_EVERY, cursor)) state = afterEvent(state, event);
    return state;
  }
}
