"use client";
/** The page: the model runs in the browser. */
import { stories } from "lastrow/stories";
import { useEffect, useState } from "react";
import { answer } from "../answer.js";

export default function Page() {
  const [text, setText] = useState("");
  useEffect(() => {
    answer(stories).then(setText);
  }, []);
  return <p id="answer">{text}</p>;
}
