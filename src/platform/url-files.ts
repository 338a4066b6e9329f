/** Model files behind web addresses, read as they arrive. */

import { aborted, LastrowError } from "../errors.js";
import { isGgufName, shardsOf } from "../formats/gguf-names.js";
import type { ModelFile, ModelFiles } from "../formats/model-files.js";
import { shown } from "../option-checks.js";

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default: the runtime's own. */
  readonly fetch?: typeof fetch | undefined;
}

/** The model at an address: the GGUF file that it names, with its shards, or the files in the folder that it names. */
export function addressedFiles(label: string, base: URL, options: FetchOptions): ModelFiles {
  if (isGgufName(base.pathname)) return addressedGguf(label, base, options);
  const folder = new URL(base);
  if (!folder.pathname.endsWith("/")) folder.pathname += "/";
  const encoded = (name: string) => name.split("/").map(encodeURIComponent).join("/");
  return { label, open: (name) => openAddress(name, new URL(encoded(name), folder), options) };
}

/** A GGUF file; its shards lie beside it, with the same query. */
function addressedGguf(label: string, base: URL, options: FetchOptions): ModelFiles {
  const path = base.pathname.slice(0, base.pathname.lastIndexOf("/") + 1);
  const addresses = new Map(
    shardsOf(base.pathname.slice(path.length)).map((name) => {
      const address = new URL(base);
      address.pathname = path + name;
      return [decodedName(name), address] as const;
    }),
  );
  return {
    label,
    gguf: [...addresses.keys()],
    async open(name) {
      const address = addresses.get(name);
      return address === undefined ? null : openAddress(name, address, options);
    },
  };
}

/** A part of an address as its maker wrote it, where it can be read. */
function decodedName(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * An address, absolute or relative to the page.
 * @throws LastrowError `invalid_argument`
 */
export function parseAddress(address: string | URL): URL {
  try {
    return new URL(address, globalThis.location?.href);
  } catch (cause) {
    throw new LastrowError("invalid_argument", `${shown(address)} is not a web address.`, { cause });
  }
}

/** Fetches one file; null when there is none at that address. `name` stands for it in messages if it is taken whole. */
export async function openAddress(
  name: string,
  address: URL,
  options: FetchOptions,
): Promise<ModelFile | null> {
  let response: Response;
  try {
    const send = options.fetch ?? fetch;
    response = await send(address, { signal: options.signal ?? null });
  } catch (cause) {
    throw fetchError(address, cause, options);
  }
  const isPage = response.headers.get("content-type")?.startsWith("text/html") === true;
  // Hosts of single-page applications answer with their page where a file is missing.
  if (response.status === 404 || response.status === 410 || (response.ok && isPage)) {
    await response.body?.cancel();
    return null;
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new LastrowError("model_not_found", `${address} answered with status ${response.status}.`);
  }
  const length = response.headers.get("content-length");
  // A compressed answer states its compressed length: take such a file whole to learn its size.
  if (length === null || response.headers.has("content-encoding")) {
    try {
      return new BlobFile(name, await response.blob());
    } catch (cause) {
      throw fetchError(address, cause, options);
    }
  }
  return new StreamedFile(address, Number(length), response.body, options);
}

function fetchError(address: URL, cause: unknown, options: FetchOptions): LastrowError {
  if (cause instanceof LastrowError) return cause;
  if (options.signal?.aborted) return aborted("Loading was cancelled.", options.signal);
  return new LastrowError("model_not_found", `${address} could not be fetched: ${whyFailed(cause)}.`, {
    cause,
  });
}

/** Node's `fetch` says no more than that it failed; its cause says why. */
function whyFailed(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  if (!(cause instanceof Error)) return message;
  // A name with several addresses fails with the errors of all of them, and without words of its own.
  return `${message} (${cause.message || ("code" in cause ? cause.code : cause.name)})`;
}

/** Bytes of a body, in whatever pieces they come. A piece is good until the next one is asked for. */
interface ChunkReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/** Bytes of a piece, at most, where the memory for it is given. */
const CHUNK_BYTES = 1024 * 1024;

/** Reads a body, into one and the same memory where it can be given: browsers keep hundreds of megabytes of pieces of their own. */
function chunkReader(body: ReadableStream<Uint8Array>): ChunkReader {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = body.getReader({ mode: "byob" });
  } catch {
    // Of a stream made by hand, or in an older runtime.
    return body.getReader();
  }
  let memory = new ArrayBuffer(CHUNK_BYTES);
  return {
    async read() {
      const { done, value } = await reader.read(new Uint8Array(memory));
      if (value !== undefined) memory = value.buffer;
      return { done, value };
    },
    cancel: () => reader.cancel(),
  };
}

/** A file that is still arriving; it can only be read forwards. */
class StreamedFile implements ModelFile {
  readonly name: string;
  readonly size: number;
  readonly #address: URL;
  readonly #reader: ChunkReader;
  readonly #options: FetchOptions;
  /** The last read that was asked for: they take their turns. */
  #last: Promise<void> = Promise.resolve();
  #position = 0;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(address: URL, size: number, body: ReadableStream<Uint8Array>, options: FetchOptions) {
    this.name = address.href;
    this.#address = address;
    this.size = size;
    this.#reader = chunkReader(body);
    this.#options = options;
  }

  read(offset: number, target: Uint8Array): Promise<void> {
    const read = this.#last.then(async () => {
      if (offset < this.#position) {
        throw new Error(`${this.name} was read from byte ${offset} after byte ${this.#position}`);
      }
      await this.#advance(offset - this.#position, null);
      await this.#advance(target.length, target);
    });
    this.#last = read.catch(() => undefined);
    return read;
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined);
  }

  /** Moves on by `count` bytes, into `target` or into nothing. */
  async #advance(count: number, target: Uint8Array | null): Promise<void> {
    let done = 0;
    while (done < count) {
      if (this.#chunk.length === 0) this.#chunk = await this.#nextChunk();
      const taken = this.#chunk.subarray(0, count - done);
      target?.set(taken, done);
      this.#chunk = this.#chunk.subarray(taken.length);
      this.#position += taken.length;
      done += taken.length;
    }
  }

  async #nextChunk(): Promise<Uint8Array> {
    let result: Awaited<ReturnType<ChunkReader["read"]>>;
    try {
      result = await this.#reader.read();
    } catch (cause) {
      throw fetchError(this.#address, cause, this.#options);
    }
    if (!result.done && result.value !== undefined) return result.value;
    throw new LastrowError(
      "model_file_invalid",
      `${this.name} ended at byte ${this.#position} of the ${this.size} that were announced.`,
    );
  }
}

/** A file that the runtime holds or can reach at any place. */
export class BlobFile implements ModelFile {
  readonly name: string;
  readonly size: number;
  readonly #blob: Blob;

  constructor(name: string, blob: Blob) {
    this.name = name;
    this.size = blob.size;
    this.#blob = blob;
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    const end = offset + target.length;
    if (end > this.size) {
      throw new LastrowError(
        "model_file_invalid",
        `${this.name} has ${this.size} bytes; byte ${end} was expected.`,
      );
    }
    let bytes: ArrayBuffer;
    try {
      bytes = await this.#blob.slice(offset, end).arrayBuffer();
    } catch (cause) {
      // A file on disk that was changed or removed since it was picked.
      throw new LastrowError(
        "model_file_invalid",
        `${this.name} cannot be read: ${(cause as Error).message}`,
        {
          cause,
        },
      );
    }
    target.set(new Uint8Array(bytes));
  }

  async close(): Promise<void> {}
}
