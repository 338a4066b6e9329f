/**
 * Fetches one file's content into the cache's `blobs/`: streamed, hashed on the way, resumed where a download was
 * interrupted, and given its name only once size and digest are what the Hub stated.
 *
 * The bytes are not left to @huggingface/hub, whose download neither resumes nor checks nor reports progress.
 */
import { createHash, type Hash } from "node:crypto";
import { LastrowError } from "../errors.js";
import type { HubAnswer, HubConnection } from "./hub-connection.js";
import type { HubFile } from "./hub-listing.js";
import { PartialFile } from "./partial-file.js";

export interface BlobDownload {
  readonly hub: HubConnection;
  /** The file's address on the Hub. */
  readonly url: string;
  readonly file: HubFile;
  readonly blobsFolder: string;
  /** Where the content goes, in `blobsFolder`. */
  readonly blobPath: string;
  /** Told how many of the file's bytes are there; fewer than before when the Hub makes us start over. */
  readonly onBytes: (loadedBytes: number) => void;
}

/**
 * Downloads a blob. A connection that breaks is taken up again as long as each attempt gets further than all before.
 * Whatever the error, but for `hub_integrity`, what has come is kept for the next call.
 *
 * @throws LastrowError `hub_unreachable`, `hub_not_found`, `aborted`; `hub_integrity` when what came has another size
 *   or digest than the Hub stated
 */
export async function downloadBlob(download: BlobDownload): Promise<void> {
  const { file, hub, blobPath } = download;
  const partial = await PartialFile.open(download.blobsFolder, file.digest);
  let isSound = true;
  let isFinished = false;
  try {
    const transfer = new Transfer(download, partial);
    await transfer.hashWhatIsThere();
    await receiveAll(transfer);
    hub.throwIfAborted();
    transfer.checkDigest();
    isFinished = true;
  } catch (error) {
    isSound = !(error instanceof LastrowError && error.code === "hub_integrity");
    throw error;
  } finally {
    if (isFinished) await partial.finish(blobPath);
    else if (isSound) await partial.leave();
    else await partial.discard();
  }
}

async function receiveAll(transfer: Transfer): Promise<void> {
  let furthest = transfer.size;
  while (!transfer.isComplete) {
    try {
      await transfer.receive();
    } catch (error) {
      const isBroken = error instanceof LastrowError && error.code === "hub_unreachable";
      if (!isBroken || transfer.size <= furthest) throw error;
      furthest = transfer.size;
    }
  }
}

class Transfer {
  readonly #download: BlobDownload;
  readonly #partial: PartialFile;
  #hash: Hash;

  constructor(download: BlobDownload, partial: PartialFile) {
    this.#download = download;
    this.#partial = partial;
    this.#hash = newHash(download.file);
  }

  get size(): number {
    return this.#partial.size;
  }

  get isComplete(): boolean {
    return this.size === this.#download.file.size;
  }

  async hashWhatIsThere(): Promise<void> {
    const { file, hub, onBytes } = this.#download;
    if (this.size > file.size) await this.#startOver();
    for await (const chunk of this.#partial.chunks()) {
      hub.throwIfAborted();
      this.#hash.update(chunk);
    }
    onBytes(this.size);
  }

  /** One request for what is missing; a second one for everything when the Hub does not go on where we are. */
  async receive(): Promise<void> {
    if (this.size > 0) {
      const hasGoneOn = await this.#request({ range: `bytes=${this.size}-` });
      if (hasGoneOn) return;
      await this.#startOver();
    }
    await this.#request({});
  }

  checkDigest(): void {
    const { file } = this.#download;
    const found = this.#hash.digest("hex");
    if (found === file.digest) return;
    const name = file.digestKind === "sha256" ? "SHA-256" : "git hash";
    throw new LastrowError(
      "hub_integrity",
      `${file.path} arrived with the ${name} ${found}, but the Hub states ${file.digest}; the download was deleted; try again.`,
    );
  }

  /** @returns false when the answer is not the missing part; nothing was read then */
  async #request(headers: Readonly<Record<string, string>>): Promise<boolean> {
    const { hub, url } = this.#download;
    // Without compression, so that sizes and ranges count the file's own bytes.
    return hub.request(url, { ...headers, "accept-encoding": "identity" }, async (answer) => {
      // A status of 200 is the whole; one with the place of a part is neither, and not to be trusted.
      if (answer.status === 200 && (this.size === 0 || !answer.headers.has("content-range"))) {
        if (this.size > 0) await this.#startOver();
      } else if (!this.#isMissingPart(answer)) {
        if (this.size > 0) return false;
        hub.unreachable(`it answered with status ${answer.status} to a request for a whole file`);
      }
      this.#checkLength(answer);
      for await (const chunk of answer.chunks()) await this.#take(chunk);
      if (!this.isComplete) this.#wrongSize(`${this.size} bytes`);
      return true;
    });
  }

  #isMissingPart({ status, headers }: HubAnswer): boolean {
    const { size } = this.#download.file;
    const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
    if (status !== 206 || range === null || this.size === 0) return false;
    const isWhole = range[3] === "*" || Number(range[3]) === size;
    return Number(range[1]) === this.size && Number(range[2]) === size - 1 && isWhole;
  }

  /** Finds a wrong size before gigabytes of it are loaded. */
  #checkLength({ headers }: HubAnswer): void {
    const length = headers.get("content-length");
    if (length === null || headers.has("content-encoding")) return;
    if (Number(length) !== this.#download.file.size - this.size) {
      this.#wrongSize(`${this.size + Number(length)} bytes`);
    }
  }

  async #take(chunk: Uint8Array): Promise<void> {
    const { file, hub, onBytes } = this.#download;
    hub.throwIfAborted();
    if (this.size + chunk.length > file.size) this.#wrongSize(`more than ${file.size} bytes`);
    this.#hash.update(chunk);
    await this.#partial.append(chunk);
    onBytes(this.size);
  }

  async #startOver(): Promise<void> {
    await this.#partial.clear();
    this.#hash = newHash(this.#download.file);
  }

  #wrongSize(found: string): never {
    const { file } = this.#download;
    throw new LastrowError(
      "hub_integrity",
      `${file.path} comes with ${found}, but the Hub states ${file.size}; the download was deleted; try again.`,
    );
  }
}

/** Git hashes a blob with a header before it: `blob <size>` and a zero byte (Pro Git, chapter 10.2). */
function newHash(file: HubFile): Hash {
  if (file.digestKind === "sha256") return createHash("sha256");
  return createHash("sha1").update(`blob ${file.size}\0`);
}
