/** Two engines, one tier in a folder: the second computes only what the first has not, to the row, with the bits of a model without a tier. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, vi } from "vitest";
import {
  type KvDtype,
  type LanguageModel,
  type LoadOptions,
  load,
  type ModelSource,
} from "../../src/index.js";
import { type DirectoryTierOptions, directoryTier } from "../../src/tier/index.js";
import {
  arbitraryTokens,
  type FamilyName,
  familyFolder,
  familyNames,
  modelFolders,
} from "../fixture-models.js";

/** All but one whose context has no room for a prefix that is worth loading. */
export const sharingModels = [
  "tiny" as const,
  "odd" as const,
  ...familyNames.filter((name) => name !== "llama-dynamic"),
];

/** A folder for records, and the models that are loaded with it. */
export class SharedFolder implements AsyncDisposable {
  readonly #folder: string;
  readonly #loaded: LanguageModel[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async make(): Promise<SharedFolder> {
    return new SharedFolder(await mkdtemp(join(tmpdir(), "lastrow-tier-")));
  }

  /** A tier in it, by default one that is told everything at once and has all the time that it wants. */
  tier(options: Partial<DirectoryTierOptions> = {}) {
    const key = new Uint8Array(32).fill(3);
    return directoryTier({ folder: this.#folder, key, write: "first", deadlineMs: 60_000, ...options });
  }

  async load(source: ModelSource, options: LoadOptions): Promise<LanguageModel> {
    const lm = await load(source, { threads: 1, worker: false, ...options });
    this.#loaded.push(lm);
    return lm;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#loaded.map((lm) => lm.dispose()));
    await rm(this.#folder, { recursive: true });
  }
}

/** Waits until a model's tier has written so many records, and no more. */
export async function untilWritten(lm: LanguageModel, records: number): Promise<void> {
  const isWritten = async () => expect((await lm.tierStats())?.written).toBe(records);
  await vi.waitFor(isWritten, { timeout: 20_000, interval: 5 });
}

/** Rows that a prompt's logits take, and their bits. */
export async function computed(lm: LanguageModel, tokens: readonly number[]) {
  const { rows } = await lm.stats();
  const { logits } = await lm.logits(tokens);
  const bits = [...new Uint32Array(logits.buffer)].join();
  return { rows: (await lm.stats()).rows - rows, bits };
}

/** Four blocks of a prompt of 76 tokens go from one engine to the other. */
export async function expectShared(name: FamilyName | "tiny" | "odd", kvDtype: KvDtype): Promise<void> {
  await using shared = await SharedFolder.make();
  const source = name === "tiny" || name === "odd" ? modelFolders[name] : familyFolder(name);
  const options = { kvDtype, contextLength: 77 };
  const first = await shared.load(source, { ...options, tier: shared.tier() });
  const { kinds } = first.info.kv;
  const tokens = arbitraryTokens(76, first.info.config.vocabSize);
  await first.logits(tokens.slice(0, 70));
  const numGroups = kinds.reduce((sum, { groups }) => sum + groups, 0);
  await untilWritten(first, 4 * numGroups);

  const second = await shared.load(source, { ...options, tier: shared.tier() });
  const alone = await shared.load(source, options);
  expect(await computed(second, tokens)).toEqual({ ...(await computed(alone, tokens)), rows: 12 });
  // Of a window only what the first row sees that is computed.
  const seen = (window: number | null) => (window === null ? 4 : Math.min(4, Math.ceil((window - 1) / 16)));
  const records = kinds.reduce((sum, { window, groups }) => sum + groups * seen(window), 0);
  expect((await second.stats()).tier?.blocksLoaded).toBe(records);
  expect(await second.tierStats()).toMatchObject({ hits: records, written: 0, loads: 1 });
}
