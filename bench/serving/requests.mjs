/** The same requests for the server and for the engine alone: prompts that begin alike, a seed each. */

const OPENING =
  "Once upon a time there was a little girl named Lily who lived in a small house near the forest with her mom and dad and a big brown dog.";
const ENDINGS = [
  " One day she found a red ball",
  " One day the dog ran away",
  " She liked to play with her friend Tom",
  " Her mom made a big cake",
  " A bird sat on the old tree",
  " It was a very cold day",
  " She wanted to see the moon",
  " There was a box under the bed",
];

/** The request number `i`: a prompt and a seed. Every seventh prompt begins like no other. */
export function requestOf(i) {
  const ending = ENDINGS[i % ENDINGS.length];
  const prompt = i % 7 === 0 ? `Number ${i} said:${ending}` : OPENING + ending;
  return { prompt, seed: i };
}
