mkdir data
chown postgres . data
setpriv --reuid postgres --regid postgres --clear-groups initdb -D data -A trust --no-sync
echo "unix_socket_directories = ''" >> data/postgresql.conf
