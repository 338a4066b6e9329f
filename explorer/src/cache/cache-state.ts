/**
 * The KV cache as its events tell it: which sequence holds which block, what is findable, what each sequence has. A state is made
 * from the events up to a cursor and from nothing else; snapshots on the way make going back cheap.
 *
 * Sequences are the engine's: their numbers are handed out in the order of the requests, and a fork's when it is forked.
 */
import type { EngineEvent } from "lastrow";

export const BLOCK_SIZE = 16;

/** A sequence's blocks of one group of layers, by their number in the sequence: perhaps not from 0 on. */
type Run = ReadonlyMap<number, number>;

interface BlockState {
  /** Numbers of the sequences that hold it, in the order in which they came. */
  readonly owners: readonly number[];
  /** Full, and others can find it. */
  readonly isPublished: boolean;
  /** Times that its contents had to go for others'. */
  readonly evictions: number;
  /** The group of layers whose rows it holds, or held last; null when it was never used. */
  readonly group: number | null;
  /** A window gave it back, and no sequence has taken it since. */
  readonly isGivenBack: boolean;
}

export interface SequenceState {
  readonly sequence: number;
  /** The sequence that it was forked from; null for one that a request began. */
  readonly parent: number | null;
  /** Its block table: a run for each group of layers, one where all layers see equally far. */
  readonly runs: readonly Run[];
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
    /** Blocks that a sequence let go of because no later row sees them. */
    readonly givenBack: number;
  };
  /** Blocks that the last event was about. */
  readonly touched: readonly number[];
}

/** All blocks of a sequence, group after group, in order of position. */
export function blocksOf({ runs }: SequenceState): number[] {
  return runs.flatMap((run) => [...run].sort(([a], [b]) => a - b).map(([, block]) => block));
}

/** Blocks of a run that a window has left behind, or that were never needed: those before its first one. */
export function behindWindow(run: Run): number {
  return run.size === 0 ? 0 : Math.min(...run.keys());
}

/** Where a sequence has a block: the first of its positions is 16 times this. */
export function indexOf({ runs }: SequenceState, block: number): number | null {
  for (const run of runs) for (const [index, held] of run) if (held === block) return index;
  return null;
}

function emptyCache(numBlocks: number): CacheState {
  const block: BlockState = {
    ...{ owners: [], isPublished: false, evictions: 0 },
    ...{ group: null, isGivenBack: false },
  };
  return {
    blocks: Array.from({ length: numBlocks }, () => block),
    sequences: new Map(),
    step: 0,
    counts: { rowsComputed: 0, rowsFound: 0, evictions: 0, copies: 0, preemptions: 0, givenBack: 0 },
    touched: [],
  };
}

const NEW_SEQUENCE = {
  parent: null,
  runs: [],
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
      const taken = hold(state, event);
      return { ...change(taken, event.sequence, () => ({ isStarting: false })), touched: [event.block] };
    }
    case "hit": {
      const taken = hold(state, event);
      const { isStarting, rows: before } = sequenceOf(state, event.sequence);
      // It has just filled a block whose contents were there: that one takes the place of its own.
      if (!isStarting) return { ...taken, touched: [event.block] };
      // Of a window only the last blocks are taken, for all rows before their end.
      const rows = Math.max(before, BLOCK_SIZE * (event.index + 1));
      const found = change(taken, event.sequence, (sequence) => ({
        rows,
        rowsFound: sequence.rowsFound + rows - before,
        status: "running",
      }));
      return {
        ...found,
        touched: [event.block],
        counts: { ...counts, rowsFound: counts.rowsFound + rows - before },
      };
    }
    case "shared": {
      const parent = parentOf(state, event.block, sequenceOf(state, event.sequence).parent);
      const taken = hold(state, event);
      const all = parent === null ? 0 : sequenceOf(state, parent).rows;
      const forked = change(taken, event.sequence, ({ rows }) => ({
        parent,
        rows: Math.max(rows, Math.min(all, BLOCK_SIZE * (event.index + 1))),
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
      const { runs } = sequenceOf(wrote, event.sequence);
      const [first, end] = [Math.floor(event.from / BLOCK_SIZE), Math.ceil(event.to / BLOCK_SIZE)];
      return {
        ...wrote,
        touched: runs.flatMap((run) =>
          [...run].flatMap(([index, block]) => (index >= first && index < end ? [block] : [])),
        ),
        counts: { ...counts, rowsComputed: counts.rowsComputed + count },
      };
    }
    case "loaded": {
      const taken = hold(state, event);
      return { ...changeBlock(taken, event.block, { isPublished: true }), touched: [event.block] };
    }
    case "published":
      return { ...changeBlock(state, event.block, { isPublished: true }), touched: [event.block] };
    case "copied":
      return {
        ...state,
        touched: [event.from, event.to],
        counts: { ...counts, copies: counts.copies + 1 },
      };
    case "released":
      return { ...letGo(state, event), touched: [event.block] };
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

/** A block, and where its sequence has it. */
type Placed = Extract<EngineEvent, { type: "released" }> | Extract<EngineEvent, { type: "hit" }>;

function hold(state: CacheState, { block, sequence, group, index }: Omit<Placed, "type">): CacheState {
  const owners = [...state.blocks[block].owners, sequence];
  const held = changeBlock(state, block, { owners, group, isGivenBack: false });
  return change(held, sequence, ({ runs }) => ({
    runs: withBlock(runs, group, (run) => run.set(index, block)),
    status: "running",
  }));
}

function letGo(state: CacheState, { block, sequence, group, index }: Omit<Placed, "type">): CacheState {
  const { owners } = state.blocks[block];
  const at = owners.indexOf(sequence);
  const left = changeBlock(state, block, { owners: owners.filter((_, i) => i !== at) });
  const before = sequenceOf(state, sequence);
  // Another block has taken its place.
  if (before.runs[group]?.get(index) !== block) return left;
  const runs = withBlock(before.runs, group, (run) => run.delete(index));
  if (runs.every(({ size }) => size === 0)) {
    return change(left, sequence, () => ({ runs, rows: 0, status: "ended", isStarting: true }));
  }
  // A window gives back from the front; from the end blocks go with their rows.
  const isCut = ![...runs[group].keys()].some((other) => other > index);
  if (isCut)
    return change(left, sequence, ({ rows }) => ({ runs, rows: Math.min(rows, BLOCK_SIZE * index) }));
  const { counts } = state;
  return {
    ...changeBlock(
      change(left, sequence, () => ({ runs })),
      block,
      { isGivenBack: owners.length === 1 },
    ),
    counts: { ...counts, givenBack: counts.givenBack + 1 },
  };
}

function withBlock(
  runs: readonly Run[],
  group: number,
  change: (run: Map<number, number>) => void,
): readonly Run[] {
  const changed = Array.from({ length: Math.max(runs.length, group + 1) }, (_, i) => runs[i] ?? new Map());
  const run = new Map(changed[group]);
  change(run);
  changed[group] = run;
  return changed;
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
