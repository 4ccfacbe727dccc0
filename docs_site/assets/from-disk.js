// Opened from a disk (file://), a browser starts no workers. The search then runs in a hidden frame instead.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (...all) => all.reduce((before, one) => before.then(() => this.load(one)), Promise.resolve());
      this.ready = this.load(address);
    }

    load(address) {
      const inside = this.frame.contentDocument;
      return new Promise((done, failed) => {
        const script = inside.createElement("script");
        script.onload = done;
        script.onerror = failed;
        script.src = address;
        inside.body.append(script);
      });
    }

    postMessage(data) {
      const { contentWindow: inside } = this.frame;
      this.ready.then(() => inside.dispatchEvent(new inside.MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
