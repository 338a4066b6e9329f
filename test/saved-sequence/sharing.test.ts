/** Who may find restored blocks, and what a restored sequence takes from whom. */
import { beforeAll, describe, expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import { LanguageModel } from "../../src/library/language-model.js";
import type { LoadOptions } from "../../src/library/load-options.js";
import { arbitraryTokens, modelFolders } from "../fixture-models.js";
import { loadInProcess } from "../in-process.js";

const installationKey = new Uint8Array(32).fill(7);
const tokens = arbitraryTokens(50, 96);

/** A model of its own, without anything in its cache. */
async function fresh(options: LoadOptions = {}) {
  const parts = await loadInProcess(modelFolders.tiny, { threads: 1, installationKey, ...options });
  return { lm: new LanguageModel(parts), core: parts.core };
}

/** What a sequence with these tokens finds. */
async function hits(lm: LanguageModel, salt?: string): Promise<number> {
  await using sequence = await lm.sequence([...tokens, 1], { salt });
  return sequence.numCachedTokens;
}

async function savedBy(options: LoadOptions, salt?: string): Promise<Blob> {
  const { lm } = await fresh(options);
  const blob = await (await lm.sequence(tokens, { salt })).save();
  await lm.dispose();
  return blob;
}

describe("others find restored blocks", () => {
  test.each([
    { what: "when this installation saved them", finds: 48 },
    { what: "not without a key", by: { installationKey: null }, finds: 0 },
    { what: "not from another installation", by: { installationKey: new Uint8Array(32) }, finds: 0 },
    { what: "not when here is no key", here: { installationKey: null }, finds: 0 },
    { what: "not when another salt was given", salt: "other", finds: 0 },
    { what: "under the salt that they were saved with", savedSalt: "s", salt: "s", finds: 48 },
    { what: "not what another salt has saved, under none", savedSalt: "s", finds: 0 },
  ])("$what", async ({ by = {}, here = {}, savedSalt, salt, finds }) => {
    const blob = await savedBy(by, savedSalt);
    const { lm, core } = await fresh(here);
    const u = await lm.restore(blob, { salt });
    expect(u.numCachedTokens).toBe(49);
    expect(await hits(lm, salt)).toBe(finds);
    expect(await hits(lm, "a third one")).toBe(0);
    // Of what was added behind it, too; otherwise that one finds what the look-up above has computed.
    await u.append(arbitraryTokens(20, 96));
    await using longer = await lm.sequence([...u.tokens, 1], { salt });
    expect(longer.numCachedTokens).toBe(finds === 0 ? 48 : 64);
    expect(firstDifferentBits((await lm.logits(u.tokens)).logits, u.logits)).toBeNull();
    expect(violatedInvariants(core.kvCache)).toEqual([]);
    await lm.dispose();
  });

  test("what an unsigned file was restored to is not signed when it is saved again", async () => {
    const blob = await savedBy({ installationKey: null });
    const { lm } = await fresh();
    const again = await (await lm.restore(blob)).save();
    const u = await lm.restore(again);
    expect(await hits(lm)).toBe(0);
    expect(u.numCachedTokens).toBe(49);
    await lm.dispose();
  });
});

describe("with what is there already", () => {
  let blob: Blob;
  beforeAll(async () => {
    blob = await savedBy({});
  });

  test.each([{ here: {} }, { here: { installationKey: null } }])(
    "it shares blocks: $here",
    async ({ here }) => {
      const { lm, core } = await fresh(here);
      const s = await lm.sequence(tokens.slice(0, 40));
      const { referenced } = core.stats.blocks;
      const u = await lm.restore(blob);
      // Two full blocks are shared; a third and the rest are its own.
      expect(core.stats.blocks.referenced).toBe(referenced + 2);
      await u.append([1]);
      await s.append([2]);
      expect(firstDifferentBits((await lm.logits(u.tokens)).logits, u.logits)).toBeNull();
      await lm.dispose();
      expect(violatedInvariants(core.kvCache)).toEqual([]);
    },
  );
});

describe("memory", () => {
  let blob: Blob;
  let blockBytes = 0;
  let logits: Float32Array;
  beforeAll(async () => {
    const { lm } = await fresh();
    blockBytes = lm.info.kv.blockBytes;
    const s = await lm.sequence(tokens);
    blob = await s.save();
    ({ logits } = s);
    await lm.dispose();
  });

  test("what cannot fit even alone is refused with the numbers", async () => {
    const { lm, core } = await fresh({ kvMemory: 3 * blockBytes });
    await expect(lm.restore(blob)).rejects.toThrow(/need 4 KV blocks, and there are 3/);
    expect(core.stats.blocks.free).toBe(3);
    await lm.dispose();
  });

  test("an idle sequence gives way, and comes back", async () => {
    const { lm, core } = await fresh({ kvMemory: 5 * blockBytes });
    const idle = await lm.sequence(arbitraryTokens(40, 96, 3));
    const before = idle.logits;
    const u = await lm.restore(blob);
    expect(u.numCachedTokens).toBe(49);
    expect(firstDifferentBits(u.logits, logits)).toBeNull();
    expect(core.stats.sequences.preemptions).toBe(1);
    await idle.append([1]);
    await idle.truncate(40);
    expect(firstDifferentBits(idle.logits, before)).toBeNull();
    // And the restored one, whose rows were taken from it, can be saved.
    await expect((await u.save()).arrayBuffer()).resolves.toEqual(await blob.arrayBuffer());
    expect(violatedInvariants(core.kvCache)).toEqual([]);
    await lm.dispose();
  });

  test.each([{ isHeld: true }, { isHeld: false }])(
    "nothing gives way for a damaged file, held or cached: $isHeld",
    async ({ isHeld }) => {
      const { lm, core } = await fresh({ kvMemory: 5 * blockBytes });
      const other = await lm.sequence(arbitraryTokens(40, 96, 3));
      if (!isHeld) await other.dispose();
      const bytes = new Uint8Array(await blob.arrayBuffer());
      bytes[bytes.length - 1] ^= 1;
      const before = core.stats;
      await expect(lm.restore(bytes)).rejects.toMatchObject({ code: "saved_sequence_invalid" });
      expect(core.stats).toEqual(before);
      expect(core.kvCache.index.size).toBe(2);
      await lm.dispose();
    },
  );
});
