/** Reads the keys of a GGUF header and their values: no count or length is believed before the bytes are there. */
import { quoteValue } from "../../quote-value.js";
import { GGUF_VALUE_TYPES, type GgufValue, type GgufValueType, type NumericArray } from "./gguf-metadata.js";
import type { HeaderBytes } from "./header-bytes.js";

type NumberType = Exclude<GgufValueType, "string" | "array">;

/** Types of fixed size: how one value is read, and many. */
const NUMBERS: Readonly<
  Record<NumberType, { bytes: number; read(view: DataView): number | bigint; list: ListConstructor }>
> = {
  u8: { bytes: 1, read: (view) => view.getUint8(0), list: Uint8Array },
  i8: { bytes: 1, read: (view) => view.getInt8(0), list: Int8Array },
  u16: { bytes: 2, read: (view) => view.getUint16(0, true), list: Uint16Array },
  i16: { bytes: 2, read: (view) => view.getInt16(0, true), list: Int16Array },
  u32: { bytes: 4, read: (view) => view.getUint32(0, true), list: Uint32Array },
  i32: { bytes: 4, read: (view) => view.getInt32(0, true), list: Int32Array },
  u64: { bytes: 8, read: (view) => narrowed(view.getBigUint64(0, true)), list: BigUint64Array },
  i64: { bytes: 8, read: (view) => narrowed(view.getBigInt64(0, true)), list: BigInt64Array },
  f32: { bytes: 4, read: (view) => view.getFloat32(0, true), list: Float32Array },
  f64: { bytes: 8, read: (view) => view.getFloat64(0, true), list: Float64Array },
  bool: { bytes: 1, read: (view) => view.getUint8(0), list: Uint8Array },
};

type ListConstructor = new (length: number) => NumericArray & { readonly buffer: ArrayBuffer };

/** A key whose value is a text. */
export type OnText = (key: string, text: string) => void;

interface Keys {
  /** How many there are. */
  readonly count: number;
  /** Least bytes of each. */
  readonly leastBytes: number;
  /** Least bytes of what is behind all of them. */
  readonly owedBehind: number;
}

/**
 * The values by key, in the file's order.
 * @param onText is given texts as they come, before all is known to be sound
 * @throws LastrowError `model_file_invalid`
 */
export async function readMetadataValues(
  bytes: HeaderBytes,
  { count, leastBytes, owedBehind }: Keys,
  onText?: OnText,
): Promise<Map<string, GgufValue>> {
  const values = new Map<string, GgufValue>();
  const texts = { left: bytes.limits.listedTexts };
  for (let i = 0; i < count; i++) {
    bytes.owed = owedBehind + leastBytes * (count - 1 - i);
    bytes.place = () => `key ${i + 1} of ${count}`;
    const key = await bytes.name(bytes.limits.keyBytes);
    if (values.has(key)) throw bytes.invalid(`has key ${quoteValue(key)} twice`);
    bytes.place = () => `key ${quoteValue(key)}`;
    const value = await readValue(bytes, texts);
    values.set(key, value);
    if (value.type === "string") onText?.(key, value.value);
  }
  bytes.owed = owedBehind;
  return values;
}

async function readValue(bytes: HeaderBytes, texts: { left: number }): Promise<GgufValue> {
  const type = await readValueType(bytes);
  if (type === "array") return readList(bytes, texts);
  if (type === "string") {
    await bytes.need(8);
    const length = bytes.length(bytes.limits.textBytes);
    await bytes.need(length);
    return { type, value: bytes.text(length) };
  }
  const number = NUMBERS[type];
  await bytes.need(number.bytes);
  const value = number.read(bytes.view(number.bytes));
  if (type !== "bool") return { type, value };
  expectTruth(bytes, Number(value));
  return { type, value: value === 1 };
}

async function readValueType(bytes: HeaderBytes): Promise<GgufValueType> {
  await bytes.need(4);
  const number = bytes.u32();
  const type = GGUF_VALUE_TYPES[number];
  if (type === undefined) {
    throw bytes.invalid(
      `has ${bytes.place()} of type ${number}, but must have one from 0 to ${GGUF_VALUE_TYPES.length - 1}`,
    );
  }
  return type;
}

async function readList(bytes: HeaderBytes, texts: { left: number }): Promise<GgufValue> {
  const elementType = await readValueType(bytes);
  if (elementType === "array")
    throw bytes.invalid(`has lists within lists at ${bytes.place()}, which are not read`);
  await bytes.need(8);
  const length = bytes.u64();
  const least = elementType === "string" ? 8 : NUMBERS[elementType].bytes;
  if (Number(length) * least > bytes.left) {
    throw bytes.invalid(
      `states ${length} elements of ${elementType} for ${bytes.place()}, but has ${bytes.left} bytes for them`,
    );
  }
  if (elementType === "string") {
    return { type: "array", elementType, values: await readTexts(bytes, Number(length), texts) };
  }
  const values = new NUMBERS[elementType].list(Number(length));
  await bytes.fill(new Uint8Array(values.buffer));
  if (elementType === "bool") for (const value of values) expectTruth(bytes, Number(value));
  return { type: "array", elementType, values };
}

async function readTexts(bytes: HeaderBytes, length: number, texts: { left: number }): Promise<string[]> {
  if (length > texts.left) {
    throw bytes.invalid(
      `has more than ${bytes.limits.listedTexts} texts in lists, which are the most that are read: ` +
        `${length} are in ${bytes.place()}`,
    );
  }
  texts.left -= length;
  const { owed, place } = bytes;
  const values = new Array<string>(length);
  let i = 0;
  bytes.place = () => `element ${i} of ${place()}`;
  // Waiting for each of a million texts would take longer than reading them.
  for (; i < length; i++) {
    bytes.owed = owed + 8 * (length - 1 - i);
    if (!bytes.has(8)) await bytes.need(8);
    const size = bytes.length(bytes.limits.listedTextBytes);
    if (!bytes.has(size)) await bytes.need(size);
    values[i] = bytes.text(size);
  }
  bytes.owed = owed;
  bytes.place = place;
  return values;
}

function expectTruth(bytes: HeaderBytes, value: number): void {
  if (value > 1)
    throw bytes.invalid(`has ${value} as a truth value at ${bytes.place()}, but must have 0 or 1`);
}

/** A number where that is exact. */
function narrowed(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
