// Hello from JavaScript, by the fetch event of the web platform. It never reads its request's body.
addEventListener("fetch", (event) => {
  event.respondWith(new Response("Hello, world!\n", { headers: { "content-type": "text/plain" } }));
});
