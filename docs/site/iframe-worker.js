// A browser lets a page that was opened as a file start no worker. There, the search runs in a hidden frame instead.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.frame = frame.contentWindow
      this.send = this.frame.postMessage.bind(this.frame) // what the script calls goes the other way
      this.frame.document.write(
        `<script>var postMessage = message => parent.postMessage(message, "*")</script><script src="${address}"></script>`,
      )
      this.frame.document.close()
      this.ready = new Promise(resolve => (this.frame.onload = resolve))
      window.addEventListener("message", ({ source, data }) => {
        if (source === this.frame) this.dispatchEvent(new MessageEvent("message", { data }))
      })
    }

    postMessage(message) {
      this.ready.then(() => this.send(message, "*"))
    }
  }
}
