// {{name}}: answers HTTP requests. What it says is in greeting.js, which knows nothing of HTTP.
import { greet } from "./greeting.js";

addEventListener("fetch", (event) => {
  const { searchParams } = new URL(event.request.url);
  const headers = { "content-type": "text/plain; charset=utf-8" };
  event.respondWith(new Response(greet(searchParams.get("name")), { headers }));
});
