/**
 * Kernels that compute no numbers. In the place of each tensor they note which rows of which earlier tensors every one
 * of its rows was made from, and what that cost. The forward pass runs on them as on any others, so what they note is
 * what it does.
 *
 * There is no memory but for the lists of a batch. What lies where is known from what was written there: a row that is
 * read and was never written is an error, as is one whose columns were made by several operations.
 */
import {
  type AttentionCall,
  type BackendSizes,
  firstKey,
  type IndexList,
  type Kernels,
  type LinearWeight,
  type Packed,
  type Tensor,
} from "../kernels.js";
import { BLOCK_SIZE, type KvLayout, slotOf } from "../kv-layout.js";
import type { RecordedOperation, RecordedTensor, RowSource } from "./recorded-tensor.js";

/** A tensor that lies somewhere in memory. */
interface Written {
  readonly id: number;
  readonly place: Tensor;
  /** Columns of it that were read by themselves. */
  readonly columns: { readonly id: number; readonly place: Tensor }[];
}

/** Who wrote a slot of the KV cache: rows of these tensors. */
interface WrittenSlot {
  readonly keys: number;
  readonly values: number;
  readonly row: number;
}

type NewTensor = Omit<RecordedTensor, "id" | "multiplyAdds" | "layer" | "weight" | "firstColumn"> &
  Partial<RecordedTensor>;

export class TracingKernels implements Kernels {
  readonly name = "tracing";
  readonly vectors = null;
  readonly dots = null;
  readonly notices = [];
  /** Everything that was made, in this order; a tensor's sources come before it. */
  readonly recorded: RecordedTensor[] = [];
  readonly #lists: { readonly offset: number; readonly entries: Int32Array }[] = [];
  /** In the order of writing; where two lie over one another, the later one counts. */
  #written: Written[] = [];
  /** Weights that rows were looked up in, by offset. */
  readonly #tables = new Map<number, number>();
  /** By layer, by slot. */
  readonly #slots = new Map<number, Map<number, WrittenSlot>>();
  readonly #identities = new Map<number, Pick<RowSource, "from" | "to">>();

  get multiplyAdds(): number {
    let sum = 0;
    for (const { multiplyAdds } of this.recorded) for (const cost of multiplyAdds) sum += cost;
    return sum;
  }

  together<T>(ask: () => T): T {
    return ask();
  }

  again(): boolean {
    return false;
  }

  /** Somewhere to put numbers that no operation made, such as the angles of a rotation: they are not kept. */
  f32(_offset: number, length: number): Float32Array {
    return new Float32Array(length);
  }

  u8(): Uint8Array {
    throw new Error("tracing kernels hold no bytes");
  }

  /** Memory for a list; asking for a part of it gives the same memory. */
  i32(offset: number, length: number): Int32Array {
    const list = this.#lists.find(
      (known) => offset >= known.offset && offset + 4 * length <= known.offset + 4 * known.entries.length,
    );
    if (list !== undefined) {
      const first = (offset - list.offset) / 4;
      return list.entries.subarray(first, first + length);
    }
    const entries = new Int32Array(length);
    this.#lists.push({ offset, entries });
    return entries;
  }

  packLinear(): Packed {
    return "exact";
  }

  unpackRows(): boolean {
    return true;
  }

  embed(out: Tensor, tokenIds: IndexList, weight: LinearWeight): void {
    const table = this.#table(weight.offset, weight.outFeatures, weight.inFeatures);
    this.#make(out, "embed", [this.#at(table, tokenIds)], { weight: weight.offset });
  }

  addRowsAt(x: Tensor, indices: IndexList, table: Tensor): void {
    const rows = this.#table(table.offset, table.rows, table.cols);
    this.#make(x, "addRowsAt", [this.#read(x), this.#at(rows, indices)], { weight: table.offset });
  }

  gatherRows(out: Tensor, x: Tensor, indices: IndexList): void {
    if (out.rows > 0) this.#make(out, "gatherRows", [this.#at(this.#read(x).tensor, indices)]);
  }

  add(x: Tensor, y: Tensor): void {
    this.#make(x, "add", [this.#read(x), this.#read(y)]);
  }

  layerNorm(out: Tensor, x: Tensor, gain: Tensor): void {
    this.#make(out, "layerNorm", [this.#read(x)], { weight: gain.offset });
  }

  linear(out: Tensor, x: Tensor, { offset, inFeatures, outFeatures }: LinearWeight): void {
    this.#make(out, "linear", [this.#read(x)], {
      weight: offset,
      multiplyAdds: new Float64Array(out.rows).fill(inFeatures * outFeatures),
    });
  }

  activate(x: Tensor): void {
    this.#make(x, "activate", [this.#read(x)]);
  }

  rmsNorm(out: Tensor, x: Tensor, gain: Tensor): void {
    this.#make(out, "rmsNorm", [this.#read(x)], { weight: gain.offset });
  }

  /** The angles are made from positions, which are made from nothing. */
  rotate(x: Tensor): void {
    this.#make(x, "rotate", [this.#read(x)]);
  }

  gate(out: Tensor, gate: Tensor, up: Tensor): void {
    this.#make(out, "gate", [this.#read(gate), this.#read(up)]);
  }

  scale(x: Tensor): void {
    this.#make(x, "scale", [this.#read(x)]);
  }

  softcap(x: Tensor): void {
    this.#make(x, "softcap", [this.#read(x)]);
  }

  writeKv(_kv: KvLayout, layer: number, k: Tensor, v: Tensor, slots: IndexList): void {
    const written = this.#slots.get(layer) ?? new Map<number, WrittenSlot>();
    this.#slots.set(layer, written);
    const keys = this.#read(k).tensor;
    const values = this.#read(v).tensor;
    this.#entries(slots).forEach((slot, row) => {
      written.set(slot, { keys, values, row });
    });
  }

  /** Four tensors or more: K and V of each sequence as its positions have them, scores, softmax, and the result. */
  attention(call: AttentionCall): void {
    const { q, out, layer, numHeads, kv } = call;
    if (q.rows === 0) return;
    const positions = this.#entries(call.positions);
    const keys: RowSource[] = [];
    const values: RowSource[] = [];
    const sequences = this.#entries(call.sequences);
    let firstRow = 0;
    for (let s = 0; s < sequences.length; s += 2) {
      const [rows, table] = sequences.subarray(s, s + 2);
      const length = positions[firstRow + rows - 1] + 1;
      // What no row sees may have no block.
      const seen = { blockTable: table, from: firstKey(positions[firstRow], call.window), length };
      // Row t reads positions of its own sequence, up to its own, and nothing of the others.
      const to = new Int32Array(q.rows);
      const from = new Int32Array(q.rows);
      for (let t = firstRow; t < firstRow + rows; t++) {
        from[t] = firstKey(positions[t], call.window);
        to[t] = positions[t] + 1;
      }
      keys.push({ tensor: this.#joined("keys", layer, kv, seen), from, to });
      values.push({ tensor: this.#joined("values", layer, kv, seen), from, to });
      firstRow += rows;
    }
    const multiplyAdds = Float64Array.from(
      positions,
      (position) => numHeads * kv.headDim * (position + 1 - firstKey(position, call.window)),
    );
    const size = {
      rows: q.rows,
      cols: positions.reduce((most, position) => Math.max(most, position), 0) + 1,
      layer,
    };
    const same = this.#identity(q.rows);
    const sources = [this.#read(q), ...keys];
    const scores = this.#record({ operation: "scores", ...size, sources, multiplyAdds });
    const softmax = this.#record({ operation: "softmax", ...size, sources: [{ tensor: scores, ...same }] });
    this.#make(out, "weightedValues", [{ tensor: softmax, ...same }, ...values], { layer, multiplyAdds });
  }

  /** Of no inference: it is for what chooses from the logits. */
  stretchMaxima(): void {}

  async dispose(): Promise<void> {}

  /** K or V of a sequence, by position: each row written by an earlier call, or in the cache from the start. */
  #joined(
    which: "keys" | "values",
    layer: number,
    kv: KvLayout,
    {
      blockTable,
      from,
      length,
    }: { readonly blockTable: number; readonly from: number; readonly length: number },
  ): number {
    const written = this.#slots.get(layer);
    const cols = kv.numKvHeads * kv.headDim;
    const first = Math.floor(from / BLOCK_SIZE);
    const run = { first, ids: [...this.i32(blockTable + 4 * first, Math.ceil(length / BLOCK_SIZE) - first)] };
    const writers = Array.from({ length }, (_, position) =>
      position < from ? undefined : written?.get(slotOf(run, position)),
    );
    const sources = new Map<number, RowSource>();
    const read = (tensor: number, position: number, row: number) => {
      const source = sources.get(tensor) ?? emptySource(tensor, length);
      sources.set(tensor, source);
      source.from[position] = row;
      source.to[position] = row + 1;
    };
    const numCached = writers.lastIndexOf(undefined) + 1;
    if (numCached > from) {
      const operation = which === "keys" ? "cachedKeys" : "cachedValues";
      const cached = this.#record({ operation, rows: numCached, cols, layer, sources: [] });
      // Nothing is read of the rows before.
      for (let p = from; p < numCached; p++) if (writers[p] === undefined) read(cached, p, p);
    }
    writers.forEach((writer, position) => {
      if (writer !== undefined) read(writer[which], position, writer.row);
    });
    return this.#record({ operation: which, rows: length, cols, layer, sources: [...sources.values()] });
  }

  /** Records what an operation wrote. */
  #make(
    place: Tensor,
    operation: RecordedOperation,
    sources: RowSource[],
    more: Partial<RecordedTensor> = {},
  ): void {
    if (place.rows === 0) return;
    const id = this.#record({ operation, rows: place.rows, cols: place.cols, sources, ...more });
    this.#written = this.#written.filter((known) => !holds(place, known.place));
    this.#written.push({ id, place, columns: [] });
  }

  #record(tensor: NewTensor): number {
    const id = this.recorded.length;
    this.recorded.push({
      weight: null,
      firstColumn: 0,
      layer: null,
      multiplyAdds: new Float64Array(tensor.rows),
      ...tensor,
      id,
    });
    return id;
  }

  /** The rows of a place, each made from the same row of what was written there. */
  #read(place: Tensor): RowSource {
    if (place.rows === 0) return { tensor: 0, ...this.#identity(0) };
    const found = this.#written.findLast((known) => overlap(known.place, place));
    if (found === undefined || !holds(found.place, place))
      throw new Error(`the forward pass reads what nothing wrote, at ${place.offset}`);
    const first = distance(found.place, place);
    const firstRow = Math.floor(first / place.stride);
    const firstColumn = first % place.stride;
    if (found.place.cols === place.cols) return this.#shifted(found.id, firstRow, place.rows);
    const known = found.columns.find(({ place: part }) => holds(part, place) && holds(place, part));
    if (known !== undefined) return { tensor: known.id, ...this.#identity(place.rows) };
    const id = this.#record({
      operation: "columns",
      firstColumn,
      rows: place.rows,
      cols: place.cols,
      sources: [this.#shifted(found.id, firstRow, place.rows)],
    });
    found.columns.push({ id, place });
    return { tensor: id, ...this.#identity(place.rows) };
  }

  #table(offset: number, rows: number, cols: number): number {
    const known = this.#tables.get(offset);
    if (known !== undefined) return known;
    const id = this.#record({ operation: "weight", weight: offset, rows, cols, sources: [] });
    this.#tables.set(offset, id);
    return id;
  }

  /** Row `list[t]` of a tensor, for each t. */
  #at(tensor: number, list: IndexList): RowSource {
    const from = this.#entries(list).slice();
    return { tensor, from, to: from.map((row) => row + 1) };
  }

  #shifted(tensor: number, firstRow: number, rows: number): RowSource {
    if (firstRow === 0) return { tensor, ...this.#identity(rows) };
    const from = Int32Array.from({ length: rows }, (_, row) => firstRow + row);
    return { tensor, from, to: from.map((row) => row + 1) };
  }

  /** Row t of the source for row t; one pair of lists for each number of rows. */
  #identity(rows: number): Pick<RowSource, "from" | "to"> {
    const known = this.#identities.get(rows);
    if (known !== undefined) return known;
    const from = Int32Array.from({ length: rows }, (_, row) => row);
    const made = { from, to: from.map((row) => row + 1) };
    this.#identities.set(rows, made);
    return made;
  }

  #entries({ offset, length }: IndexList): Int32Array {
    return this.i32(offset, length);
  }
}

function emptySource(tensor: number, rows: number): RowSource {
  return { tensor, from: new Int32Array(rows), to: new Int32Array(rows) };
}

/** Floats from the start of one place to that of another. */
function distance(from: Tensor, to: Tensor): number {
  return (to.offset - from.offset) / 4;
}

/** Floats from a place's first to behind its last. */
function extent({ rows, cols, stride }: Tensor): number {
  return (rows - 1) * stride + cols;
}

function holds(outer: Tensor, inner: Tensor): boolean {
  const first = distance(outer, inner);
  if (first < 0 || outer.stride !== inner.stride) return false;
  const row = Math.floor(first / outer.stride);
  return row + inner.rows <= outer.rows && (first % outer.stride) + inner.cols <= outer.cols;
}

function overlap(a: Tensor, b: Tensor): boolean {
  const first = distance(a, b);
  if (first >= extent(a) || first <= -extent(b)) return false;
  if (a.stride !== b.stride) return true;
  // Columns side by side share no float.
  const column = ((first % a.stride) + a.stride) % a.stride;
  return column < a.cols || column + b.cols > a.stride;
}

/** What a plan has to know: places only have to differ. */
export const tracingSizes: BackendSizes = {
  scoreRows: 1,
  packedBytes: (inFeatures, outFeatures) => 4 * inFeatures * outFeatures,
  scratchFloats: () => 0,
};
