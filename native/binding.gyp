{
  # For those who prefer node-gyp (`npx node-gyp rebuild -C native`, then copy build/Release/tapstack.node to build/). The Makefile is what we use.
  "targets": [
    {
      "target_name": "tapstack",
      "sources": ["tap.c", "host.c"],
      "cflags": ["-std=gnu11", "-Wall", "-Wextra"]
    }
  ]
}
