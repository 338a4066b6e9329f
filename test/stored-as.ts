/** The files of a model whose weights are stored in another type. */
import { f32ToBf16, f32ToF16 } from "../src/kernels/reference/half.js";
import { STORED_VALUES } from "../src/kernels/reference/packed-types.js";
import { type StoredFloat, storedBytes } from "../src/kernels/weight-types.js";

const CONFIG_NAMES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

type Files = Record<string, Uint8Array>;

/**
 * Model files with every tensor stored as `dtype`, each value after `change` to its nearest; `config.json` says so, as
 * programs that write both do.
 */
export function storedAs(files: Files, dtype: StoredFloat, change = (value: number) => value): Files {
  const file = files["model.safetensors"];
  const view = new DataView(file.buffer, file.byteOffset);
  const headerBytes = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerBytes)));
  const written: Record<string, unknown> = {};
  const data: Uint8Array[] = [];
  let end = 0;
  for (const [name, entry] of Object.entries<{ dtype: StoredFloat; shape: number[]; data_offsets: number[] }>(
    header,
  )) {
    if (name === "__metadata__") continue;
    const [from, to] = entry.data_offsets.map((offset) => 8 + headerBytes + offset);
    const { Values, toF32 } = STORED_VALUES[entry.dtype];
    const values = Array.from(new Values(file.slice(from, to).buffer), (bits) => change(toF32(bits)));
    const bytes = {
      F32: () => Float32Array.from(values),
      F16: () => Uint16Array.from(values, f32ToF16),
      BF16: () => Uint16Array.from(values, f32ToBf16),
    }[dtype]();
    data.push(new Uint8Array(bytes.buffer));
    const begin = end;
    end += storedBytes(dtype, values.length);
    written[name] = { dtype, shape: entry.shape, data_offsets: [begin, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(written));
  const result = new Uint8Array(8 + text.length + end);
  new DataView(result.buffer).setBigUint64(0, BigInt(text.length), true);
  result.set(text, 8);
  let at = 8 + text.length;
  for (const bytes of data) {
    result.set(bytes, at);
    at += bytes.length;
  }
  const config = new TextDecoder().decode(files["config.json"]);
  const stated = `"dtype": "${CONFIG_NAMES[dtype]}"`;
  // All else letter by letter: Python's numbers are not written as JavaScript's.
  const configText = /"dtype": "\w+"/.test(config)
    ? config.replace(/"dtype": "\w+"/, stated)
    : config.replace("{", `{${stated},`);
  return { ...files, "config.json": new TextEncoder().encode(configText), "model.safetensors": result };
}

/** A value near this one that all stored types have: of 8 significant bits, and no smaller than 2⁻¹⁴. */
export function inAllTypes(value: number): number {
  const magnitude = Math.abs(value);
  if (magnitude < 2 ** -14) return 0;
  const step = 2 ** (Math.floor(Math.log2(magnitude)) - 7);
  return Math.round(value / step) * step;
}
