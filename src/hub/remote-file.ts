/**
 * A file that stays on the Hub and is read in parts, by requests for ranges: the header of a GGUF file, which says all but
 * the weights. Nothing of it is kept, and nothing can be checked but its size: its digest is that of the whole.
 */
import { LastrowError } from "../errors.js";
import type { ModelFile } from "../formats/model-files.js";
import type { HubConnection } from "./hub-connection.js";
import type { HubFile } from "./hub-listing.js";

/** What is asked for at first, in bytes; each further request asks for twice as much as the one before. */
const FIRST_BYTES = 1024 * 1024;
const MOST_BYTES = 16 * 1024 * 1024;

export class RemoteFile implements ModelFile {
  readonly name: string;
  readonly size: number;
  readonly #hub: HubConnection;
  readonly #url: string;
  #window = { offset: 0, bytes: new Uint8Array(0) };
  #nextBytes = FIRST_BYTES;

  constructor(hub: HubConnection, url: string, { path, size }: HubFile) {
    this.name = path;
    this.size = size;
    this.#hub = hub;
    this.#url = url;
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    if (offset + target.length > this.size) {
      throw new LastrowError(
        "model_file_invalid",
        `${this.name} has ${this.size} bytes; byte ${offset + target.length} was expected.`,
      );
    }
    let filled = 0;
    while (filled < target.length) {
      const from = offset + filled - this.#window.offset;
      const there =
        from < 0 ? target.subarray(0, 0) : this.#window.bytes.subarray(from, from + target.length - filled);
      if (there.length === 0) {
        await this.#fetch(offset + filled);
        continue;
      }
      target.set(there, filled);
      filled += there.length;
    }
  }

  async close(): Promise<void> {
    this.#window = { offset: 0, bytes: new Uint8Array(0) };
  }

  async #fetch(offset: number): Promise<void> {
    const bytes = new Uint8Array(Math.min(this.#nextBytes, this.size - offset));
    this.#nextBytes = Math.min(2 * this.#nextBytes, MOST_BYTES);
    const last = offset + bytes.length - 1;
    // Without compression, so that the range counts the file's own bytes.
    const headers = { range: `bytes=${offset}-${last}`, "accept-encoding": "identity" };
    await this.#hub.request(this.#url, headers, async (answer) => {
      const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(answer.headers.get("content-range") ?? "");
      const isPart = answer.status === 206 && range !== null && Number(range[1]) === offset;
      // A host that knows no ranges sends the whole.
      if (!isPart && answer.status !== 200) {
        this.#hub.unreachable(`it answered with status ${answer.status} to a request for a part of a file`);
      }
      let position = isPart ? offset : 0;
      for await (const chunk of answer.chunks()) {
        const from = Math.max(0, offset - position);
        bytes.set(chunk.subarray(from, last + 1 - position), Math.max(0, position - offset));
        position += chunk.length;
        if (position > last) return;
      }
      this.#hub.unreachable(`${this.name} ended at byte ${position} of ${this.size}`);
    });
    this.#window = { offset, bytes };
  }
}
