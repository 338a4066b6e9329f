/**
 * The header of a safetensors file: which tensors it has and where. The data itself is read elsewhere.
 *
 * Format (https://github.com/huggingface/safetensors, README): 8 bytes N, an unsigned little-endian integer; N bytes
 * of JSON, `{ "name": { "dtype", "shape", "data_offsets": [begin, end] }, …, "__metadata__": { "key": "text" } }`,
 * which may be padded with spaces at its end; then the data, to which the offsets are relative. Elements are
 * little-endian and in row-major order. No start is aligned to anything.
 *
 * What always holds of a header that was returned: its tensors cover the data part of the file exactly, without holes
 * or overlaps, and each has the size that its dtype and shape ask for. So reading between `begin` and `end` can
 * never leave the file.
 */
import { modelFileInvalid } from "../errors.js";
import { quoteValue } from "../quote-value.js";
import { JSON_LIMITS, jsonObjectOf } from "./json-file.js";
import type { ModelFile } from "./model-files.js";
import type { JsonObject } from "./strict-json.js";

/** Bits of one element, for every dtype that the format knows. */
const DTYPE_BITS: ReadonlyMap<string, number> = new Map([
  ["F4", 4],
  ["F6_E2M3", 6],
  ["F6_E3M2", 6],
  ["BOOL", 8],
  ["U8", 8],
  ["I8", 8],
  ["F8_E5M2", 8],
  ["F8_E4M3", 8],
  ["F8_E8M0", 8],
  ["F8_E4M3FNUZ", 8],
  ["F8_E5M2FNUZ", 8],
  ["U16", 16],
  ["I16", 16],
  ["F16", 16],
  ["BF16", 16],
  ["U32", 32],
  ["I32", 32],
  ["F32", 32],
  ["U64", 64],
  ["I64", 64],
  ["F64", 64],
  ["C64", 64],
]);

const LENGTH_BYTES = 8;

/**
 * Longest header that is read, in bytes: 16 MiB, over 100 000 tensors. The format allows 100 MB, but reading a hostile
 * header of that size costs several GB of JavaScript objects.
 */
export const MAX_HEADER_BYTES = JSON_LIMITS.tensors.bytes;

/** One tensor of a file. */
export interface TensorEntry {
  /** The name in the file. */
  readonly name: string;
  /** The format's name of the element type: `F32`, `F16`, `BF16`, `BOOL`, `I64` … */
  readonly dtype: string;
  /** Sizes of the dimensions, row-major; `[]` is a scalar. */
  readonly shape: readonly number[];
  /** First byte, from the start of the file; a multiple of nothing. */
  readonly begin: number;
  /** The byte after the last, from the start of the file. */
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly fileName: string;
  /** Where the data part starts, in bytes from the start of the file. */
  readonly dataStart: number;
  /** By name, in ascending order of `begin`. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The free text of `__metadata__`; empty when there is none. */
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Reads and checks the header of a safetensors file. Reads bytes 0 to the end of the header, forwards; leaves the
 * file open.
 * @param maxHeaderBytes a longer header is refused before it is read
 * @throws LastrowError `model_file_invalid`, naming the file and the tensor, when the file is not exactly what the
 *   format demands: too short for its header, a header over `maxHeaderBytes`, not UTF-8 or not strict JSON; an unknown dtype, a
 *   size or an offset that is not a whole number from 0 to 2^53 − 1; a tensor whose bytes are not those of its dtype
 *   and shape; overlaps, holes, data that end before or after the tensors do
 */
export async function readSafetensorsHeader(
  file: ModelFile,
  maxHeaderBytes: number = MAX_HEADER_BYTES,
): Promise<SafetensorsHeader> {
  const headerBytes = await readHeaderLength(file, maxHeaderBytes);
  const dataStart = LENGTH_BYTES + headerBytes;
  const header = await readHeaderJson(file, headerBytes);
  const metadata = readMetadata(header, file.name);
  const dataBytes = file.size - dataStart;
  const entries = Object.keys(header)
    .filter((name) => name !== "__metadata__")
    .map((name) => readEntry(name, header[name], { fileName: file.name, dataStart, dataBytes }))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(entries, dataStart, file);
  return { fileName: file.name, dataStart, tensors: new Map(entries.map((e) => [e.name, e])), metadata };
}

async function readHeaderLength(file: ModelFile, maxHeaderBytes: number): Promise<number> {
  if (file.size < LENGTH_BYTES) {
    throw modelFileInvalid(
      `${file.name} has ${file.size} bytes: too short for a safetensors file, which starts with 8 bytes of length.`,
    );
  }
  const bytes = new Uint8Array(LENGTH_BYTES);
  await file.read(0, bytes);
  const length = new DataView(bytes.buffer).getBigUint64(0, true);
  if (length > BigInt(file.size - LENGTH_BYTES)) {
    throw modelFileInvalid(
      `${file.name} states a header of ${length} bytes, but has ${file.size} bytes in all: it is truncated or not a ` +
        "safetensors file.",
    );
  }
  if (length > BigInt(maxHeaderBytes)) {
    throw modelFileInvalid(
      `${file.name} states a header of ${length} bytes; at most ${maxHeaderBytes} are read.`,
    );
  }
  return Number(length);
}

async function readHeaderJson(file: ModelFile, headerBytes: number): Promise<JsonObject> {
  const bytes = new Uint8Array(headerBytes);
  await file.read(LENGTH_BYTES, bytes);
  if (bytes[0] !== 0x7b)
    throw modelFileInvalid(
      `${file.name} has a header that does not begin with {: it is not a safetensors file.`,
    );
  return jsonObjectOf(bytes, `The header of ${file.name}`, JSON_LIMITS.tensors);
}

function readMetadata(header: JsonObject, fileName: string): Map<string, string> {
  const metadata = header.__metadata__ ?? null;
  // Some writers put null where they have nothing to say.
  if (metadata === null) return new Map();
  if (!isObject(metadata))
    throw modelFileInvalid(`${fileName}: __metadata__ is ${quoteValue(metadata)}, but must be an object.`);
  return new Map(
    Object.entries(metadata).map(([key, value]) => {
      if (typeof value !== "string") {
        throw modelFileInvalid(
          `${fileName}: __metadata__ has ${quoteValue(value)} at ${quoteValue(key)}, but must map text to text.`,
        );
      }
      return [key, value];
    }),
  );
}

/** The data part of the file that an entry must fit into. */
interface DataPart {
  readonly fileName: string;
  readonly dataStart: number;
  readonly dataBytes: number;
}

function readEntry(name: string, value: unknown, data: DataPart): TensorEntry {
  const tensor = `${data.fileName}: tensor ${quoteValue(name)}`;
  if (!isObject(value)) throw modelFileInvalid(`${tensor} is ${quoteValue(value)}, but must be an object.`);
  const { dtype, shape, data_offsets: offsets } = value;

  const bits = typeof dtype === "string" ? DTYPE_BITS.get(dtype) : undefined;
  if (typeof dtype !== "string" || bits === undefined) {
    throw modelFileInvalid(`${tensor} has dtype ${quoteValue(dtype)}, which safetensors does not know.`);
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw modelFileInvalid(
      `${tensor} has shape ${quoteValue(shape)}, but must have a list of whole numbers from 0 to 2^53 - 1.`,
    );
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw modelFileInvalid(
      `${tensor} has data_offsets ${quoteValue(offsets)}, but must have two whole numbers from 0 to 2^53 - 1.`,
    );
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end)
    throw modelFileInvalid(`${tensor} begins at byte ${begin} of the data and ends before, at byte ${end}.`);
  if (end > data.dataBytes) {
    throw modelFileInvalid(
      `${tensor} ends at byte ${end} of the data, but the file has only ${data.dataBytes}: it is truncated.`,
    );
  }
  const size = tensorBytes(shape, bits);
  if (size === null)
    throw modelFileInvalid(
      `${tensor} has dtype ${dtype} and shape ${quoteValue(shape)}: its size overflows.`,
    );
  if (size !== end - begin) {
    throw modelFileInvalid(
      `${tensor} takes ${end - begin} bytes, but its dtype ${dtype} and shape ${quoteValue(shape)} ask for ${size}.`,
    );
  }
  return { name, dtype, shape, begin: data.dataStart + begin, end: data.dataStart + end };
}

/** Bytes of a tensor: a fraction when the bits fill no whole byte, `null` when a product passes 2^53 − 1. */
function tensorBytes(shape: readonly number[], bits: number): number | null {
  let size = bits;
  for (const dimension of shape) {
    size *= dimension;
    if (size > Number.MAX_SAFE_INTEGER) return null;
  }
  return size / 8;
}

/** Checks that the tensors, in ascending order, follow each other from the start of the data to the file's end. */
function checkCoverage(entries: readonly TensorEntry[], dataStart: number, file: ModelFile): void {
  let covered = dataStart;
  for (const { name, begin, end } of entries) {
    if (begin !== covered) {
      const what = begin < covered ? "overlaps the tensor before it" : "leaves a hole before it";
      throw modelFileInvalid(
        `${file.name}: tensor ${quoteValue(name)} ${what}: it begins at byte ${begin} instead of byte ${covered} of the file.`,
      );
    }
    covered = end;
  }
  if (covered !== file.size) {
    throw modelFileInvalid(
      `${file.name} has ${file.size} bytes, but its last tensor ends at byte ${covered}.`,
    );
  }
}

/** A whole number from 0 to 2^53 − 1. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
