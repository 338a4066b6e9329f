/** Reads f32 tensors of one safetensors file, one after the other; the file is ours, so that it is not checked. */
import { type FileHandle, open } from "node:fs/promises";
import type { Gpt2Weights, Tensor } from "./gpt2-weights.js";

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** The tensors of a file that `make-random-model` wrote. */
export class SafetensorsFile implements Gpt2Weights, AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #entries: Readonly<Record<string, Entry>>;
  readonly #dataStart: number;

  private constructor(handle: FileHandle, entries: Readonly<Record<string, Entry>>, dataStart: number) {
    this.#handle = handle;
    this.#entries = entries;
    this.#dataStart = dataStart;
  }

  static async open(path: string): Promise<SafetensorsFile> {
    const handle = await open(path);
    const start = Buffer.alloc(8);
    await handle.read(start, 0, 8, 0);
    const headerBytes = Number(start.readBigUInt64LE());
    const header = Buffer.alloc(headerBytes);
    await handle.read(header, 0, headerBytes, 8);
    return new SafetensorsFile(handle, JSON.parse(header.toString("utf8")), 8 + headerBytes);
  }

  async read(name: string): Promise<Tensor> {
    const entry = this.#entries[`transformer.${name}`];
    if (entry === undefined || entry.dtype !== "F32") throw new Error(`${name} is not there as f32.`);
    const [begin, end] = entry.data_offsets;
    const data = new Float32Array((end - begin) / 4);
    await this.#handle.read(new Uint8Array(data.buffer), 0, end - begin, this.#dataStart + begin);
    return { shape: entry.shape, data };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
