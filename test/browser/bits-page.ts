/** What the bits' test has Chromium run: a page that bundles the library as a user's would. */
import { type LoadOptions, type LoadProgress, load } from "lastrow";
import { stories } from "lastrow/stories";
import { answerOf, logitsDigests } from "./logits-digest.js";

/** A person's way to a model's folder. */
const input = document.createElement("input");
input.type = "file";
input.webkitdirectory = true;
const fileInput = document.createElement("input");
fileInput.type = "file";
fileInput.id = "files";
fileInput.multiple = true;
document.body.append(input, fileInput);

Object.assign(globalThis, {
  async digests(options: LoadOptions) {
    const lm = await load(stories, options);
    const digests = await logitsDigests(lm);
    await lm.dispose();
    return { digests, threads: lm.info.threads };
  },
  /** Of the files or the folder that were picked: digests, greedy tokens, and how long it took to load. */
  async picked(from: "files" | "folder", prompts: readonly number[][], options: LoadOptions) {
    const start = performance.now();
    const lm = await load((from === "files" ? fileInput : input).files!, options);
    const loadMs = Math.round(performance.now() - start);
    const digests = await logitsDigests(lm, prompts);
    const { tokens } = await lm
      .generate(prompts[0]!, { temperature: 0, maxTokens: 8, ignoreEos: true })
      .result();
    const { label, dtype, threads, weightBytes, memoryBytes } = lm.info;
    await lm.dispose();
    return {
      digests,
      tokens,
      label,
      dtype,
      threads,
      weightBytes,
      memoryBytes,
      loadMs,
    };
  },
  /** Of the folder that was picked. */
  async pickedFolder(prompts: readonly number[][], options: LoadOptions) {
    let progress: LoadProgress | null = null;
    const onProgress = (now: LoadProgress) => {
      progress = now;
    };
    const lm = await load(input.files!, { ...options, onProgress });
    const digests = await logitsDigests(lm, prompts);
    const answer = await answerOf(lm);
    const { label, dtype, threads, contextLength } = lm.info;
    await lm.dispose();
    return { digests, answer, label, dtype, threads, contextLength, progress };
  },
});
