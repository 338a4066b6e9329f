/** What the bits' test has Chromium run: a page that bundles the library as a user's would. */
import { type LoadOptions, load } from "lastrow";
import { stories } from "lastrow/stories";
import { logitsDigests } from "./logits-digest.js";

Object.assign(globalThis, {
  async digests(options: LoadOptions) {
    const lm = await load(stories, options);
    const digests = await logitsDigests(lm);
    await lm.dispose();
    return { digests, threads: lm.info.threads };
  },
});
