/** The metadata of a GGUF file, a line for each key. */
import type { MetadataEntry, MetadataScalar } from "../formats/gguf/metadata-entries.js";
import type { ModelInfo } from "../library/model-info.js";
import { printable } from "../printable.js";
import { formatCount } from "./format.js";
import type { Json } from "./json.js";
import { renderTable } from "./table.js";
import type { Colours } from "./terminal.js";

/** Lists up to so many elements are shown whole. */
const SHORT_LIST = 8;
/** What a value has at least; below that it goes under its key. */
const LEAST_COLUMNS = 24;

/** A table that is no wider than `width`. */
export function metadataTable({ metadata }: ModelInfo, width: number, colours: Colours): string {
  const keyWidth = metadata.reduce((most, { key }) => Math.max(most, key.length), 0);
  const beside = width - keyWidth - 2;
  const isUnder = beside < LEAST_COLUMNS;
  const rows = metadata.map((entry) => {
    const key = cut(printable(entry.key), width);
    const value = valueWords(entry, isUnder ? width - 2 : beside);
    return isUnder ? [`${key}\n  ${colours.dim(value)}`] : [key, value];
  });
  const title = `${formatCount(metadata.length)} keys of metadata`;
  return renderTable(colours, { head: isUnder ? [title] : [title, "value"], rows });
}

/** The same for programs. What JSON has no numbers for is text. */
export function metadataObject({ metadata }: ModelInfo): Json {
  return metadata.map(({ key, type, count, value }) => ({
    key,
    type: count === null ? type : `array of ${type}`,
    ...(count !== null && { count }),
    value: Array.isArray(value) ? value.map(jsonScalar) : jsonScalar(value as MetadataScalar),
  }));
}

function jsonScalar(value: MetadataScalar): Json {
  return typeof value === "bigint" || (typeof value === "number" && !Number.isFinite(value))
    ? String(value)
    : value;
}

function valueWords({ type, count, value }: MetadataEntry, width: number): string {
  if (count === null) {
    const text = printable(String(value));
    return text.length <= width
      ? text
      : cut(text, width, ` (${formatCount(String(value).length)} characters)`);
  }
  const elements = value as readonly MetadataScalar[];
  const words = `${formatCount(count)} ${type === "string" ? "texts" : `numbers of ${type}`}`;
  if (count > SHORT_LIST || count === 0) return cut(words, width);
  return cut(elements.map((element) => printable(String(element))).join(", "), width, ` (${words})`);
}

/** As much of a line as there is room for, and `end` where it was cut. */
function cut(text: string, width: number, end = ""): string {
  if (text.length <= width) return text;
  const room = width - end.length - 1;
  return room < 1 ? text.slice(0, Math.max(1, width)) : `${text.slice(0, room)}…${end}`;
}
