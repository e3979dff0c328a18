package callers

// libraries are the ways by which programs in several languages send mail.
func libraries() []caller {
	web := []string{"From", "Web <web@example.org>"}
	return []caller{{
		name:   "php",
		script: `php mail.php`,
		files: map[string]string{"mail.php": `<?php
$headers = "From: Web <web@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit";
$to = getenv("LOCAL") . ", " . getenv("REMOTE");
exit(mail($to, getenv("TOKEN"), stream_get_contents(STDIN), $headers, "-f bounce@example.org") ? 0 : 1);
`},
		from:   "bounce@example.org",
		fields: web,
		body:   text + "\n",
	}, {
		name:   "python",
		script: `python3 mail.py`,
		files: map[string]string{"mail.py": `
import os, subprocess, sys
from email.message import EmailMessage

msg = EmailMessage()
msg["From"] = "Web <web@example.org>"
msg["To"] = os.environ["LOCAL"] + ", " + os.environ["REMOTE"]
msg["Subject"] = os.environ["TOKEN"]
msg.set_content(sys.stdin.read())
subprocess.run(["/usr/sbin/sendmail", "-t", "-oi"], input=msg.as_bytes(), check=True)
`},
		fields: web,
	}, {
		name:   "perl-email-sender",
		script: `perl sender.pl`,
		files: map[string]string{"sender.pl": `
use strict;
use Email::Sender::Simple qw(sendmail);
use Email::Sender::Transport::Sendmail;
use Email::Simple;
use Email::Simple::Creator;

my $email = Email::Simple->create(
  header => [
    From => 'Web <web@example.org>', To => "$ENV{LOCAL}, $ENV{REMOTE}", Subject => $ENV{TOKEN},
    'MIME-Version' => '1.0', 'Content-Type' => 'text/plain; charset=utf-8', 'Content-Transfer-Encoding' => '8bit',
  ],
  body => do { local $/; <STDIN> },
);
sendmail($email, { from => 'bounce@example.org', to => [$ENV{LOCAL}, $ENV{REMOTE}], transport => Email::Sender::Transport::Sendmail->new });
`},
		from:   "bounce@example.org",
		fields: web,
	}, {
		name:   "perl-mime-lite",
		script: `perl lite.pl`,
		files: map[string]string{"lite.pl": `
use strict;
use MIME::Lite;

my $msg = MIME::Lite->new(
  From => 'Web <web@example.org>', To => "$ENV{LOCAL}, $ENV{REMOTE}", Subject => $ENV{TOKEN},
  Type => 'text/plain; charset=utf-8', Encoding => 'quoted-printable', Data => do { local $/; <STDIN> },
);
$msg->send or die "not sent\n";
`},
		from:   "web@example.org",
		fields: web,
	}, {
		name:   "nodemailer",
		script: `NODE_PATH=/opt/callers/node_modules node mail.js`,
		files: map[string]string{"mail.js": `
const nodemailer = require("nodemailer");
const transport = nodemailer.createTransport({ sendmail: true, path: "/usr/sbin/sendmail" });
transport.sendMail({
  from: "Web <web@example.org>", to: [process.env.LOCAL, process.env.REMOTE], subject: process.env.TOKEN,
  text: require("fs").readFileSync(0, "utf8"),
}).catch((err) => { console.error(err.message); process.exit(1); });
`},
		from:   "web@example.org",
		fields: web,
	}, {
		name:   "ruby-mail",
		script: `ruby mail.rb`,
		files: map[string]string{"mail.rb": `
require "mail"

mail = Mail.new(
  from: "Web <web@example.org>", to: [ENV["LOCAL"], ENV["REMOTE"]], subject: ENV["TOKEN"],
  charset: "UTF-8", body: STDIN.read,
)
mail.delivery_method :sendmail
mail.deliver!
`},
		from:   "web@example.org",
		fields: web,
		deaf:   true, // until its version 2.8
	}}
}
