/** What each page does with a model: its answer becomes the text of the page. */
import { load } from "lastrow";

export async function answer(source) {
  try {
    const lm = await load(source);
    const { text } = await lm.generate("Once upon a time", { maxTokens: 12, seed: 3 }).result();
    const { worker } = lm.info;
    await lm.dispose();
    return JSON.stringify({ text, worker });
  } catch (error) {
    return JSON.stringify({ error: String(error) });
  }
}
