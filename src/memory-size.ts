/** Sizes in bytes, as people write them. */
import { invalidArgument } from "./errors.js";
import { shown } from "./option-checks.js";

const FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
};

/**
 * Bytes from a number, or from text such as `"512MiB"`, `"2GB"`, `"1.5 GiB"`, `"64m"` (binary when the unit is one letter).
 * @throws LastrowError `invalid_argument`
 */
export function parseMemorySize(size: number | string, optionName: string): number {
  const match = typeof size !== "string" ? null : /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(size);
  const factor = match === null ? 1 : FACTORS[match[2].toLowerCase()];
  const bytes = typeof size === "number" ? size : Math.floor(Number(match?.[1]) * (factor ?? Number.NaN));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw invalidArgument(
    `${optionName} is a positive number of bytes or a size such as 512MiB or 2GiB, not ${shown(size)}.`,
  );
}

/** A size for people: `75.5 MB` (decimal units, three significant digits). */
export function formatMemorySize(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))} ${units[unit]}`;
}
