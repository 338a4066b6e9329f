/** A model's tensors as they are stored: how many there are of each type, and a line for each. */
import type { ModelInfo } from "../library/model-info.js";
import { printable } from "../printable.js";
import { formatCount } from "./format.js";
import { narrowedTable } from "./table.js";
import type { Colours } from "./terminal.js";

type Tensor = ModelInfo["tensors"][number];

/** How many tensors have each stored type, those that take most first: `Q4_K 18, Q6_K 4, F32 5`. */
export function mixtureOf(tensors: readonly Tensor[]): Readonly<Record<string, number>> {
  const types = new Map<string, { count: number; bytes: number }>();
  for (const { dtype, bytes } of tensors) {
    const sum = types.get(dtype) ?? { count: 0, bytes: 0 };
    types.set(dtype, { count: sum.count + 1, bytes: sum.bytes + bytes });
  }
  const sorted = [...types].sort(([, a], [, b]) => b.bytes - a.bytes);
  return Object.fromEntries(sorted.map(([dtype, { count }]) => [dtype, count]));
}

export function mixtureWords(tensors: readonly Tensor[]): string {
  const counts = Object.entries(mixtureOf(tensors));
  return counts.map(([dtype, count]) => `${dtype} ${formatCount(count)}`).join(", ");
}

/** @param everyTensor each in a line of its own; otherwise the layers' equal ones share a line */
export function tensorTable(
  { tensors }: ModelInfo,
  { everyTensor, width, colours }: { everyTensor: boolean; width: number; colours: Colours },
): string {
  const head = [`${formatCount(tensors.length)} tensors`, "type", "shape", "bytes", "values"];
  const rows = (everyTensor ? tensors : joinLayers(tensors)).map(({ name, dtype, shape, bytes }) => [
    printable(name),
    dtype,
    `(${shape.join(", ")})`,
    formatCount(bytes),
    formatCount(shape.reduce((product, length) => product * length, 1)),
  ]);
  return narrowedTable(colours, { head, rows, rightAligned: [3, 4] }, { width, dispensable: [4, 3, 2] });
}

/** `h.3.`, `layers.3.`, `blk.3.` */
const LAYER = /\b(h|layers|blk)\.(\d+)\./;

/**
 * Tensors of equal shape and type that differ only in the number of their layer, as one: `h.0…5.ln_1.weight`, `blk.0,2,5…7.
 * ffn_down.weight`. Bytes are those of each.
 */
export function joinLayers(tensors: readonly Tensor[]): readonly Tensor[] {
  const groups = new Map<string, { tensor: Tensor; layers: number[] }>();
  for (const tensor of tensors) {
    const layer = LAYER.exec(tensor.name)?.[2];
    const pattern = tensor.name.replace(LAYER, "$1.*.");
    const key = layer === undefined ? tensor.name : `${pattern} ${tensor.dtype} ${tensor.shape.join()}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { tensor, layers: layer === undefined ? [] : [Number(layer)] });
    else group.layers.push(Number(layer));
  }
  return [...groups.values()].map(({ tensor, layers }) => {
    if (layers.length < 2) return tensor;
    return { ...tensor, name: tensor.name.replace(LAYER, `$1.${numberWords(layers)}.`) };
  });
}

/** `0…5`, `0,2,5…7`: stretches of three or more by their ends. */
function numberWords(numbers: readonly number[]): string {
  const words: string[] = [];
  const sorted = numbers.toSorted((a, b) => a - b);
  for (let from = 0; from < sorted.length; ) {
    let to = from;
    while (sorted[to + 1] === sorted[to]! + 1) to += 1;
    const isAll = from === 0 && to === sorted.length - 1;
    if (to - from >= 2 || isAll)
      words.push(to === from ? `${sorted[from]}` : `${sorted[from]}…${sorted[to]}`);
    else words.push(...sorted.slice(from, to + 1).map(String));
    from = to + 1;
  }
  return words.join(",");
}
