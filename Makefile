# postrider. The two commands: make demo, make test.

PREFIX     ?= /usr/local
DESTDIR    ?=
SYSCONFDIR ?= /etc
SPOOLDIR   ?= /var/spool/postrider
UNITDIR    ?= /lib/systemd/system
MANDIR     ?= $(PREFIX)/share/man
MAILUSER   ?= postrider
FUZZTIME   ?= 30s

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOFLAGS_BUILD := -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

SBIN := $(DESTDIR)$(PREFIX)/sbin
# sendmail, mailq and newaliases for who puts this directory in PATH.
LIB  := $(DESTDIR)$(PREFIX)/lib/postrider

export CGO_ENABLED ?= 0

.PHONY: build demo test race e2e lint fuzz bench bench-peers docs install install-sendmail uninstall uninstall-sendmail clean

build: ## programs into bin/, static and stripped
	go build $(GOFLAGS_BUILD) -o bin/ ./cmd/...

demo: build ## the whole way of a message, on this machine, in half a minute
	go run ./internal/demo -bin bin

test: ## every test
	go test ./...

race: ## every test under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./...

e2e: ## cron, mailx, php, Postfix and other real callers, in roots of their own (root, Debian)
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "make e2e: needs root and apt-get, to install the callers in roots of their own" >&2; exit 1; }
	$(MAKE) build
	sh internal/callers/install
	POSTRIDER_CALLERS=1 go test ./internal/callers -count=1 -v

lint: ## formatting, vet, staticcheck, generated files
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go run ./internal/gendoc -check

docs: ## regenerate what is generated from the code
	go run ./internal/gendoc

fuzz: ## each fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

bench: build ## speed, memory and disk as ratios, beside Postfix and dma after make bench-peers
	go run ./bench -bin bin

bench-peers: ## fetch Postfix and dma for bench to compare with (root, Debian); sh bench/peers down removes them
	sh bench/peers up

install: build ## programs, links, manual pages, units, configuration, user and directories
	install -d $(SBIN) $(LIB)
	install -m 755 bin/postrider $(SBIN)/postrider
	install -m 755 bin/sendmail $(SBIN)/postrider-sendmail
	for name in sendmail mailq newaliases; do ln -sf ../../sbin/postrider-sendmail $(LIB)/$$name; done
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/postrider
	for unit in contrib/systemd/*; do sed -e 's,@SBINDIR@,$(PREFIX)/sbin,g' -e 's,@USER@,$(MAILUSER),g' -e 's,@SPOOLDIR@,$(SPOOLDIR),g' \
	  $$unit > $(DESTDIR)$(UNITDIR)/$$(basename $$unit); chmod 644 $(DESTDIR)$(UNITDIR)/$$(basename $$unit); done
	test -e $(DESTDIR)$(SYSCONFDIR)/postrider/postrider.toml || install -m 644 contrib/postrider.toml $(DESTDIR)$(SYSCONFDIR)/postrider/postrider.toml
	install -d $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5
	install -m 644 contrib/man/*.1 $(DESTDIR)$(MANDIR)/man1
	install -m 644 contrib/man/*.5 $(DESTDIR)$(MANDIR)/man5
	DESTDIR="$(DESTDIR)" sh contrib/make-directories $(MAILUSER) $(SPOOLDIR)
	@echo "Installed. To become this host's /usr/sbin/sendmail, mailq and newaliases: make install-sendmail DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)"

install-sendmail: ## become /usr/sbin/sendmail; what was there is kept as *.before-postrider
	sh contrib/become-sendmail install "$(DESTDIR)" $(PREFIX)

uninstall-sendmail: ## put back what was /usr/sbin/sendmail before
	sh contrib/become-sendmail uninstall "$(DESTDIR)" $(PREFIX)

uninstall: uninstall-sendmail ## remove the programs and units; spool and configuration stay
	rm -f $(SBIN)/postrider $(SBIN)/postrider-sendmail
	rm -rf $(LIB)
	for unit in contrib/systemd/*; do rm -f $(DESTDIR)$(UNITDIR)/$$(basename $$unit); done
	for page in contrib/man/*; do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$$(basename $$page); done

clean:
	rm -rf bin
