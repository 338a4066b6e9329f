/**
 * GGUF files that are hostile as a whole model: the golden ones, changed at random with their structure in mind, of which `npm
 * run test:gguf` has more; and by hand what headers alone cannot show. The checks of headers, one by one, are in
 * src/formats/gguf.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { LastrowError } from "../src/errors.js";
import type { ModelFile } from "../src/formats/model-files.js";
import { describeGguf } from "../src/library/describe-gguf.js";
import { ModelFingerprint } from "../src/library/model-fingerprint.js";
import { describeMutated } from "./gguf-fuzz.js";
import { memoryFiles } from "./memory-files.js";
import { mutatedGguf } from "./mutated-gguf.js";
import { parseRaw, type RawGguf, type RawText, rawBytes, rawText, TEXT } from "./raw-gguf.js";

const CASES = 1500;

test("whatever a GGUF file says, it is read to the end or refused in one sentence", async () => {
  const tally: Record<string, number> = {};
  const seventh = await firstBytes(7);
  for (let number = 0; number < CASES; number++) {
    try {
      const refused = (await describeMutated(mutatedGguf(number))) ?? "described";
      tally[refused] = (tally[refused] ?? 0) + 1;
    } catch (cause) {
      throw new Error(`mutation ${number}`, { cause });
    }
  }
  // None of the ways out is rare.
  expect(tally.described).toBeGreaterThan(CASES / 20);
  expect(tally.model_file_invalid).toBeGreaterThan(CASES / 4);
  expect(tally.model_unsupported).toBeGreaterThan(CASES / 50);
  expect(tally.tokenizer_invalid).toBeGreaterThan(CASES / 50);
  // The same number is the same file, whatever was made before.
  expect(await firstBytes(7)).toEqual(seventh);
});

async function firstBytes(number: number): Promise<Uint8Array> {
  const model = mutatedGguf(number);
  const file = await model.open(model.names[0]!);
  const bytes = new Uint8Array(Math.min(8000, file!.size));
  await file!.read(0, bytes);
  await file!.close();
  return bytes;
}

const golden = (name: string) =>
  parseRaw(readFileSync(new URL(`fixtures/gguf/${name}.gguf`, import.meta.url)));

/** What is said of a model whose file `change` has changed. */
async function describeChanged(name: string, change: (file: RawGguf) => unknown) {
  const raw = golden(name);
  change(raw);
  const files = memoryFiles("m", { "m.gguf": rawBytes(raw) });
  return describeGguf(files, ["m.gguf"], {}, new ModelFingerprint());
}

describe("known holes", () => {
  // CVE-2024-34359: a template is a program, and runs when a conversation is rendered, in its own bounds; never at load.
  test.each([
    "{% for i in range(99999999999) %}{{ i }}{% endfor %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
  ])("the template %s does not run while a model is read", async (template) => {
    const described = await describeChanged("llama-q8_0", ({ keys }) =>
      keys.push({ key: rawText("tokenizer.chat_template"), type: TEXT, value: rawText(template) }),
    );
    expect(await described.chatTemplate()).toMatchObject({ source: template });
    await described.close();
  });

  // Ids that index tables before they are looked at.
  test.each(["<0x-1>", "<0x100>", "<0x0a>", "<0x>", "<0x0A", "0x0A"])(
    "the byte token %s is refused",
    async (token) => {
      const error = await describeChanged("gemma3-q8_0", ({ keys }) => {
        const tokens = keys.find(({ key }) => text(key.bytes) === "tokenizer.ggml.tokens")!.value;
        const { elements } = tokens as { elements: RawText[] };
        const at = elements.findIndex(({ bytes }) => text(bytes) === "<0x0A>");
        elements[at] = rawText(token);
      }).catch((refused: unknown) => refused);
      expect(error).toBeInstanceOf(LastrowError);
      expect(error).toMatchObject({
        code: "tokenizer_invalid",
        message: expect.stringContaining(`m.gguf has "${token}" as token`),
      });
    },
  );

  test("factors of a rotation that fill a file of a gigabyte are not read", async () => {
    const raw = golden("llama-rope3-q8_0");
    const freqs = raw.tensors.find(({ name }) => text(name.bytes) === "rope_freqs.weight")!;
    freqs.sizes = [2n ** 28n];
    freqs.offset = BigInt(raw.data.length);
    const header = rawBytes({ ...raw, data: new Uint8Array(0) });
    let bytesRead = 0;
    const file: ModelFile = {
      name: "m.gguf",
      size: header.length + raw.data.length + 2 ** 30,
      async read(offset, target) {
        bytesRead += target.length;
        target.set(header.subarray(offset, offset + target.length));
      },
      async close() {},
    };
    const files = { label: "m", open: async () => file };
    await expect(describeGguf(files, ["m.gguf"], {}, new ModelFingerprint())).rejects.toMatchObject({
      code: "model_file_invalid",
      message:
        'm.gguf: tensor "rope_freqs.weight" has shape [268435456], but must have a factor for each pair of values of a head.',
    });
    expect(bytesRead).toBeLessThanOrEqual(header.length);
  });
});

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
