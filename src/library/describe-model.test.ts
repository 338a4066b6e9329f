import { expect, test } from "vitest";
import { chatModelFiles } from "../../test/chat-model.js";
import { memoryFiles } from "../../test/memory-files.js";
import { startInProcess } from "../engine/in-process.js";
import type { ModelFiles } from "../formats/model-files.js";
import { describeModel } from "./describe-model.js";
import { loadParts } from "./load.js";
import { ModelFingerprint } from "./model-fingerprint.js";

const made = chatModelFiles({ template: "{{ messages[0].content }}", specials: ["<|end|>"] });

/** The model's files, of which none is opened before `count` were asked for. */
function onceAskedFor(count: number) {
  const files = memoryFiles("m", made.files);
  const asked: string[] = [];
  let answerAll = () => {};
  const all = new Promise<void>((resolve) => {
    answerAll = resolve;
  });
  const waiting: ModelFiles = {
    label: "m",
    async open(name) {
      asked.push(name);
      if (asked.length === count) answerAll();
      await all;
      return files.open(name);
    },
  };
  return { files, asked, waiting };
}

test("a load asks for every small file of a folder at once, for the weights beside the family's code, and for none but the config where a model is looked at", async () => {
  const { files, asked, waiting } = onceAskedFor(8);
  const described = await describeModel(waiting, {}, new ModelFingerprint());
  await described.tokenizer();
  await described.chatTemplate();
  await described.embedding();
  expect(new Set(asked.slice(0, 8)).size).toBe(8);
  expect(asked.slice(8)).toEqual(["model.safetensors"]);
  await described.close();
  expect(files.openFiles).toEqual([]);

  const looked = onceAskedFor(1);
  await (await describeModel(looked.waiting, {}, null)).close();
  expect(looked.asked).toEqual(["config.json"]);
});

test("nothing stays open of a model that is refused", async () => {
  for (const config of ['{"model_type":"unheard-of"}', "{", null]) {
    const { "config.json": _, ...others } = made.files;
    const files = memoryFiles("m", config === null ? others : { ...others, "config.json": config });
    await expect(describeModel(files, {}, new ModelFingerprint())).rejects.toThrow("config.json");
    expect(files.openFiles).toEqual([]);
  }
});

test("the engine starts before a file has come, and is closed where the model is refused", async () => {
  const events: string[] = [];
  const files = memoryFiles("m", { "config.json": "{" });
  const source: ModelFiles = {
    label: "m",
    open(name) {
      events.push(`open ${name}`);
      return files.open(name);
    },
  };
  const connect = async () => {
    events.push("start");
    const { connection } = startInProcess();
    return {
      ...connection,
      async close() {
        events.push("close");
        await connection.close();
      },
    };
  };
  await expect(loadParts(source, { threads: 1 }, connect)).rejects.toThrow("config.json");
  expect(events[0]).toBe("start");
  expect(events.at(-1)).toBe("close");
});

test("a GGUF file is asked for before the code that reads it is there, and once", async () => {
  const asked: string[] = [];
  const files: ModelFiles = {
    ...{ label: "m", gguf: ["m.gguf"] },
    async open(name) {
      asked.push(name);
      return null;
    },
  };
  const describing = describeModel(files, {}, null);
  expect(asked).toEqual(["m.gguf"]);
  await expect(describing).rejects.toMatchObject({ code: "model_not_found", message: "m has no m.gguf." });
  expect(asked).toEqual(["m.gguf"]);
});
