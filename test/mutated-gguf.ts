/**
 * GGUF files that are almost sound: the golden ones, with one to four things changed that a reader could trust and should
 * not. By number: the same number is the same file.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { ModelFile, ModelFiles } from "../src/formats/model-files.js";
import { Draw, OF_THE_HEADER, OF_THE_MODEL, U32 } from "./gguf-mutations.js";
import { parseRaw, type RawGguf, type RawKey, rawHeader, rawText } from "./raw-gguf.js";

const folder = new URL("fixtures/gguf/", import.meta.url);
const golden: readonly RawGguf[] = readdirSync(folder)
  .filter((name) => name.endsWith(".gguf"))
  .map((name) => parseRaw(readFileSync(new URL(name, folder))));

/** Files of a model, the names that are given for it, and how much was read of them. */
export interface MutatedModel extends ModelFiles {
  readonly names: readonly string[];
  readonly totalBytes: number;
  readonly bytesRead: () => number;
  readonly openFiles: () => number;
}

/** The file of that number. */
export function mutatedGguf(number: number): MutatedModel {
  const draw = new Draw(number);
  const file = copyOf(draw.of(golden));
  // Another model's metadata.
  if (draw.chance(0.02)) file.keys = copyOf(draw.of(golden)).keys;
  const mutations = draw.chance(0.5) ? OF_THE_HEADER : OF_THE_MODEL;
  for (let changes = 1 + draw.below(draw.below(4) + 1); changes > 0; changes--) {
    draw.of(mutations)(file, draw);
  }
  if (draw.chance(0.05)) return served(shardsOf(file, draw).map((shard) => [rawHeader(shard), shard.data]));
  const header = rawHeader(file);
  if (draw.chance(0.05)) {
    for (let flips = 1 + draw.below(8); flips > 0; flips--)
      header[draw.below(header.length)] = draw.below(256);
  }
  if (draw.chance(0.03)) return served([[header.subarray(0, draw.below(header.length)), new Uint8Array(0)]]);
  return served([[header, file.data]]);
}

/** Parts of it that say, most often rightly, which they are. */
function shardsOf(file: RawGguf, draw: Draw): RawGguf[] {
  const count = 1 + draw.below(3);
  const stated = (key: string, right: number): RawKey => {
    const value = draw.chance(0.05) ? draw.integer() : BigInt(right);
    return { key: rawText(key), type: U32, value: new Uint8Array(BigUint64Array.of(value).buffer, 0, 4) };
  };
  return Array.from({ length: count }, (_, i) => ({
    ...file,
    keys: [
      ...(i === 0 || draw.chance(0.1) ? file.keys : []),
      stated("split.no", i),
      stated("split.count", count),
      stated("split.tensors.count", file.tensors.length),
    ],
    tensors: file.tensors.filter((_, at) => at % count === i || draw.chance(0.01)),
  }));
}

/** Deep where mutations change things in place: elements of lists are changed as a whole. */
function copyOf(file: RawGguf): RawGguf {
  return {
    ...file,
    keys: file.keys.map(({ key, type, value }) => ({
      key: { ...key },
      type,
      value: value instanceof Uint8Array ? value : { ...value },
    })),
    tensors: file.tensors.map((tensor) => ({
      ...tensor,
      name: { ...tensor.name },
      sizes: [...tensor.sizes],
    })),
  };
}

/** Serves files whose header and data lie apart. A read that leaves a file is an error of the reader. */
function served(contents: readonly (readonly [header: Uint8Array, data: Uint8Array])[]): MutatedModel {
  const digits = (number: number) => String(number).padStart(5, "0");
  const names =
    contents.length === 1
      ? ["m.gguf"]
      : contents.map((_, i) => `m-${digits(i + 1)}-of-${digits(contents.length)}.gguf`);
  let bytesRead = 0;
  let openFiles = 0;
  return {
    label: "m",
    names,
    totalBytes: contents.reduce((sum, [header, data]) => sum + header.length + data.length, 0),
    bytesRead: () => bytesRead,
    openFiles: () => openFiles,
    async open(name): Promise<ModelFile | null> {
      const content = contents[names.indexOf(name)];
      if (content === undefined) return null;
      const [header, data] = content;
      const size = header.length + data.length;
      openFiles += 1;
      return {
        name,
        size,
        async read(offset, target) {
          const end = offset + target.length;
          if (!(Number.isSafeInteger(offset) && offset >= 0 && end <= size)) {
            throw new Error(`${name}: read of ${target.length} bytes at ${offset} leaves its ${size} bytes`);
          }
          bytesRead += target.length;
          target.set(header.subarray(offset, end));
          if (end > header.length) {
            const from = Math.max(0, offset - header.length);
            target.set(data.subarray(from, end - header.length), Math.max(0, header.length - offset));
          }
        },
        async close() {
          openFiles -= 1;
        },
      };
    },
  };
}
