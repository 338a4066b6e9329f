/** A page whose bundler takes the embedded model along. */
import { stories } from "lastrow/stories";
import { answer } from "./answer.js";

answer(stories).then((text) => {
  document.getElementById("answer").textContent = text;
});
