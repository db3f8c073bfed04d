"""The configuration of Postfix and Dovecot, to be filled in by `lab.services.mail`.

See postconf(5), master(5) and doc.dovecot.org. `maillog_file` and `log_path` keep the servers from
looking for a syslog; `anvil-auth-penalty` and `auth_failure_delay` off keep a wrong password from
costing ten seconds.
"""

from __future__ import annotations

from string import Template

QUEUES = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"),
    *("private", "saved", "trace"),
)
"""Folders of the queue that Postfix's own user has."""

MAIN = Template("""\
compatibility_level = 3.6
queue_directory = $folder/spool
data_directory = $folder/data
maillog_file = $folder/mail.log
maillog_file_prefixes = $folder
myhostname = $name
mydestination =
mynetworks =
inet_interfaces = $address
inet_protocols = ipv4
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_bind_address = $address
virtual_mailbox_domains = $domain
virtual_mailbox_maps = $boxes
virtual_transport = lmtp:unix:$folder/dovecot/lmtp
transport_maps = $transports
default_transport = error:no route in the lab
message_size_limit = $longest
smtpd_tls_cert_file = $certificate
smtpd_tls_key_file = $key
smtpd_tls_security_level = may
smtp_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = $folder/dovecot/auth-postfix
smtpd_tls_auth_only = yes
smtpd_sender_login_maps = $owners
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_error_sleep_time = 0
minimal_backoff_time = 5s
maximal_backoff_time = 20s
queue_run_delay = 5s
""")

DOVECOT = Template("""\
base_dir = $folder/dovecot
state_dir = $folder/dovecot
log_path = $folder/dovecot.log
instance_name = $domain
protocols = imap lmtp
listen = $address
ssl = yes
ssl_cert = <$certificate
ssl_key = <$key
disable_plaintext_auth = yes
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:$folder/boxes/%n
mail_uid = $user
mail_gid = $user
first_valid_uid = $user
first_valid_gid = $user
mail_plugins = quota
passdb {
  driver = passwd-file
  args = $folder/passwords
}
userdb {
  driver = static
  args = uid=$user gid=$user home=$folder/boxes/%n allow_all_users=yes
}
namespace inbox {
  inbox = yes
  mailbox Sent {
    auto = subscribe
    special_use = \\Sent
  }
  mailbox Trash {
    auto = subscribe
    special_use = \\Trash
  }
}
protocol imap {
  mail_plugins = quota imap_quota
  mail_max_userip_connections = 50
}
plugin {
  quota = maildir:User quota
  quota_rule = *:storage=$quota
}
service lmtp {
  unix_listener lmtp {
    mode = 0600
    user = postfix
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  unix_listener auth-postfix {
    mode = 0600
    user = postfix
  }
}
""")

MASTER = """\
25         inet  n - n - - smtpd
587        inet  n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
  -o smtpd_sender_restrictions=reject_sender_login_mismatch
465        inet  n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
  -o smtpd_sender_restrictions=reject_sender_login_mismatch
pickup     unix  n - n 60 1 pickup
cleanup    unix  n - n - 0 cleanup
qmgr       unix  n - n 300 1 qmgr
tlsmgr     unix  - - n 1000? 1 tlsmgr
rewrite    unix  - - n - - trivial-rewrite
bounce     unix  - - n - 0 bounce
defer      unix  - - n - 0 bounce
trace      unix  - - n - 0 bounce
verify     unix  - - n - 1 verify
flush      unix  n - n 1000? 0 flush
proxymap   unix  - - n - - proxymap
smtp       unix  - - n - - smtp
relay      unix  - - n - - smtp
showq      unix  n - n - - showq
error      unix  - - n - - error
retry      unix  - - n - - error
discard    unix  - - n - - discard
lmtp       unix  - - n - - lmtp
anvil      unix  - - n - 1 anvil
scache     unix  - - n - 1 scache
postlog    unix-dgram n - n - 1 postlogd
"""
