/** A page that fetches its model from where the site has put it: for bundlers that know no assets. */
import { answer } from "./answer.js";

answer("/stories/").then((text) => {
  document.getElementById("answer").textContent = text;
});
