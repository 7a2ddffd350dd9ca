#!/usr/bin/env bash
# A real Slurm with two virtual nodes on this machine, to test profiles and to try them out. Needs root.
#   slurm.sh install        install munge and Slurm from Debian's packages
#   slurm.sh start FOLDER   start, with config, state and logs in the folder; return when both nodes are idle
#   slurm.sh stop FOLDER    stop what was started in the folder
# Nodes: node1 has a GPU (in name only), node2 has none.
# Partitions: cpu (both nodes), gpu (node1, its jobs may be preempted), urgent (node1, preempts jobs of gpu).
set -euo pipefail

install() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
}

configure() {
  local d=$1
  mkdir -p "$d"/{munge,run,state,spool,log}
  # munge demands that other users can reach its socket, but not its key
  chmod 755 "$d" "$d/run" && chmod 700 "$d/munge"
  head -c 1024 /dev/urandom >"$d/munge/key" && chmod 400 "$d/munge/key"
  : >"$d/plugstack.conf"
  echo "NodeName=node1 Name=gpu Count=1 File=/dev/null" >"$d/gres.conf"
  cat >"$d/slurm.conf" <<EOF
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=16817
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
# a preempted job starts again only when its credential has expired
AuthInfo=socket=$d/run/munge.sock,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$d/state
SlurmdSpoolDir=$d/spool/%n
SlurmctldPidFile=$d/slurmctld.pid
SlurmdPidFile=$d/slurmd-%n.pid
SlurmctldLogFile=$d/log/slurmctld.log
SlurmdLogFile=$d/log/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# to enforce memory limits, look at the processes every second
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SwitchType=switch/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
MinJobAge=600
ReturnToService=2
KillWait=5
NodeName=node1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=16818 CPUs=8 RealMemory=32000 Gres=gpu:1 State=UNKNOWN
NodeName=node2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=16819 CPUs=8 RealMemory=32000 State=UNKNOWN
PartitionName=cpu Nodes=node1,node2 Default=YES DefaultTime=10 State=UP
PartitionName=gpu Nodes=node1 DefaultTime=10 PriorityTier=1 GraceTime=8 State=UP
PartitionName=urgent Nodes=node1 DefaultTime=1 MaxTime=1 PriorityTier=9 PreemptMode=OFF State=UP
EOF
}

start() {
  local d
  d=$(realpath -m "$1")
  configure "$d"
  export SLURM_CONF=$d/slurm.conf
  # steps within jobs look for the configuration only here
  mkdir -p /etc/slurm && ln -s "$d/slurm.conf" /etc/slurm/slurm.conf
  munged --key-file="$d/munge/key" --socket="$d/run/munge.sock" --pid-file="$d/munged.pid" \
    --log-file="$d/munge/log" --seed-file="$d/munge/seed"
  slurmctld -c
  for node in node1 node2; do slurmd -N "$node"; done
  for _ in $(seq 150); do
    [ "$(sinfo -h -N -p cpu -o %T 2>/dev/null | grep -c idle)" = 2 ] && return
    sleep 0.2
  done
  echo "the nodes are not idle after 30 s; see $d/log" >&2
  sinfo >&2
  return 1
}

stop() {
  local d
  d=$(realpath -m "$1")
  for name in slurmd-node1 slurmd-node2 slurmctld munged; do
    [ -s "$d/$name.pid" ] || continue
    local pid
    pid=$(cat "$d/$name.pid")
    kill "$pid" 2>/dev/null || continue
    tail --pid="$pid" -f /dev/null
  done
  [ "$(readlink /etc/slurm/slurm.conf)" != "$d/slurm.conf" ] || rm /etc/slurm/slurm.conf
}

"$@"
