package callers

// patch is what git makes of a new file with the text, after the header.
const patch = `---
 file | 7 +++++++
 1 file changed, 7 insertions(+)
 create mode 100644 file

diff --git a/file b/file
new file mode 100644
index 0000000..1e84db5
--- /dev/null
+++ b/file
@@ -0,0 +1,7 @@
+Grüße, Čeština.
+
+From the first column
+.
+..two
+	and a tab
+the end
-- 
end

`

// mailPrograms are the programs by which people and scripts send mail.
func mailPrograms() []caller {
	alice := []string{"From", "Alice Liddell <alice@example.org>"}
	bounce := []string{"From", "bounce@example.org"}
	return []caller{{
		name:   "sendmail",
		script: `{ printf 'To: %s\nSubject: %s\n\n' "$LOCAL, $REMOTE" "$TOKEN"; cat; } | sendmail -i -t`,
		fields: alice,
	}, {
		name:   "bsd-mailx",
		script: `bsd-mailx -s "$TOKEN" "$LOCAL" "$REMOTE"`,
		fields: alice,
	}, {
		name:   "bsd-mailx-from",
		script: `bsd-mailx -r bounce@example.org -s "$TOKEN" "$LOCAL" "$REMOTE"`,
		from:   "bounce@example.org",
		fields: bounce,
	}, {
		name:   "s-nail",
		script: `s-nail -s "$TOKEN" "$LOCAL" "$REMOTE"`,
		fields: alice,
	}, {
		name:   "s-nail-from",
		script: `s-nail -r bounce@example.org -s "$TOKEN" "$LOCAL" "$REMOTE"`,
		from:   "bounce@example.org",
		fields: bounce,
	}, {
		// It names this machine as the sender's domain, by -f.
		name:   "mailutils",
		script: `mail.mailutils -E 'set nodot' -s "$TOKEN" "$LOCAL" "$REMOTE"`,
		from:   "alice@" + hostname,
		fields: []string{"From", "Alice Liddell <alice@" + hostname + ">"},
	}, {
		name:   "mutt",
		script: `mutt -e 'unset record' -s "$TOKEN" -- "$LOCAL" "$REMOTE"`,
		fields: alice,
	}, {
		name: "mutt-from",
		script: `mutt -e 'unset record; set use_envelope_from envelope_from_address=bounce@example.org from=web@example.org' \
  -s "$TOKEN" -- "$LOCAL" "$REMOTE"`,
		from:   "bounce@example.org",
		fields: []string{"From", "Alice Liddell <web@example.org>"},
	}, {
		name: "git-send-email",
		script: `rm -rf git && mkdir git && cd git && git init -q && git config user.email alice@example.org && git config user.name Alice &&
cat > file && git add file && git commit -qm "$TOKEN" && git format-patch --root -q --subject-prefix= -N --signature=end &&
git send-email -q --confirm=never --suppress-cc=all --to="$LOCAL" --to="$REMOTE" *.patch`,
		fields: []string{"From", "Alice <alice@example.org>"},
		body:   patch,
	}, {
		name:   "swaks",
		script: `swaks --silent 2 --server 127.0.0.1 --from alice@example.org --to "$LOCAL,$REMOTE" --h-Subject "$TOKEN" --body -`,
		fields: []string{"From", "alice@example.org"},
		body:   text + "\n\n",
	}, {
		name:   "swaks-pipe",
		script: `swaks --silent 2 --pipe 'sendmail -bs' --from alice@example.org --to "$LOCAL,$REMOTE" --h-Subject "$TOKEN" --body -`,
		fields: []string{"From", "alice@example.org"},
		body:   text + "\n\n",
	}}
}
